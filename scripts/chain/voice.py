"""Phones that talk: `voice.py INTERFACE…` sends both legs of each agent's call, a packet of 20 ms each, as tagged frames into the
mirrors that were named for him. Lines on stdin: `AGENT MIRROR,MIRROR`, by place in the list of interfaces counted from 1. Writes down
when it couldn't talk in time, in seconds since 1970: `BEGIN+LENGTH`."""

import os
import socket
import struct
import sys
import threading
import time

PACKET = 0.02
VLAN = 110
LATE = 0.03  # seconds


def checksum(header):
    total = sum(struct.unpack(f"!{len(header) // 2}H", header))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def frame(source, destination, rtp):
    (source_ip, source_port), (destination_ip, destination_port) = source, destination
    addresses = socket.inet_aton(source_ip) + socket.inet_aton(destination_ip)
    head = struct.pack("!BBHHHBBH", 0x45, 0xB8, 28 + len(rtp), 0, 0x4000, 62, 17, 0) + addresses
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    udp = struct.pack("!HHHH", source_port, destination_port, 8 + len(rtp), 0)
    ethernet = bytes.fromhex("02000a01010202000a010114") + struct.pack("!HHH", 0x8100, 5 << 13 | VLAN, 0x0800)
    return ethernet + head + udp + rtp


class Call:
    def __init__(self, agent):
        phone, gateway = (f"10.1.{agent >> 8 & 255}.{agent & 255}", 24678), ("10.9.0.2", 16384)
        self.number, self.mirrors = agent * 7 & 0xFFFF, []
        self.legs = [(2 * agent, phone, gateway), (2 * agent + 1, gateway, phone)]

    def packets(self):
        self.number = self.number + 1 & 0xFFFF
        voice = bytes(0x80 | (self.number * 7 + place * 3) & 0x1F for place in range(160))
        for ssrc, source, destination in self.legs:
            rtp = struct.pack("!BBHII", 0x80, 0, self.number, self.number * 160, ssrc) + voice
            yield frame(source, destination, rtp)


def follow(calls):
    for line in sys.stdin:
        agent, _, mirrors = line.strip().partition(" ")
        places = [int(place) - 1 for place in mirrors.split(",") if place]
        call = calls.get(agent) or Call(int(agent))
        call.mirrors = places
        calls[agent] = call
    os._exit(0)


def main():
    sockets = []
    for interface in sys.argv[1:]:
        sockets.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
        sockets[-1].bind((interface, 0))
    calls = {}
    threading.Thread(target=follow, args=(calls,), daemon=True).start()
    due = time.monotonic()
    while True:
        for call in list(calls.values()):
            for packet in call.packets():
                for mirror in call.mirrors:
                    try:
                        sockets[mirror].send(packet)
                    except OSError:
                        pass  # a mirror whose member is gone
        late = time.monotonic() - due
        if late > LATE:
            print(f"{time.time() - late:.3f}+{late:.3f}", flush=True)
        due = max(due + PACKET, time.monotonic() - 1)
        time.sleep(max(0, due - time.monotonic()))


if __name__ == "__main__":
    main()
