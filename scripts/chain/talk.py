"""Sends the RTP of one call, both legs, as Ethernet frames at the pace of two phones; notes when each packet left.

    talk.py INTERFACE STAMPS SECONDS

STAMPS gets the time (CLOCK_MONOTONIC, nanoseconds) at which each packet of the agent left, a line each. Reads µ-law of both
legs from standard input: agent's length in bytes as a line, then agent, then customer; both are repeated.
"""

import os
import socket
import struct
import sys
import time

SAMPLES = 160
AGENT, PHONE = ("10.1.1.20", 24678), ("10.1.1.1", 20000)


def checksum(header):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def frame(source, destination, ssrc, number, payload):
    rtp = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * SAMPLES & 0xFFFFFFFF, ssrc) + payload
    udp = struct.pack("!HHHH", source[1], destination[1], 8 + len(rtp), 0) + rtp
    addresses = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
    head = struct.pack("!BBHHHBBH", 0x45, 0xB8, 20 + len(udp), number & 0xFFFF, 0x4000, 64, 17, 0) + addresses
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return bytes.fromhex("020000000001020000000002" "0800") + head + udp


def part(speech, number):
    at = number * SAMPLES % (len(speech) - len(speech) % SAMPLES)
    return speech[at : at + SAMPLES]


def main():
    interface, stamps, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    length = int(sys.stdin.buffer.readline())
    agent, customer = sys.stdin.buffer.read(length), sys.stdin.buffer.read()
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(20))
    except PermissionError:
        pass
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((interface, 0))
    start = time.monotonic_ns() + 20_000_000
    with open(stamps, "w", buffering=1) as notes:
        for number in range(int(seconds * 50)):
            ours = frame(AGENT, PHONE, 0x11111111, number, part(agent, number))
            theirs = frame(PHONE, AGENT, 0x22222222, number, part(customer, number))
            time.sleep(max(0, start + number * 20_000_000 - time.monotonic_ns()) / 1e9)
            left = time.monotonic_ns()
            wire.send(ours)
            wire.send(theirs)
            notes.write(f"{left}\n")


if __name__ == "__main__":
    main()
