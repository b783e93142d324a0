"""A bad cable: `cable.py INTERFACE INTERFACE DELAY JITTER LOSS [deaf]` carries frames between two network interfaces, late by
DELAY ± JITTER seconds, and loses the share LOSS of them; `deaf` loses all that go to the first one. What netem and nftables would do,
on kernels that have neither. Frames keep their offloads (packet(7), PACKET_VNET_HDR)."""

import heapq
import random
import select
import socket
import sys
import time

SOL_PACKET, PACKET_VNET_HDR = 263, 15
ETH_P_ALL = 3
LONGEST = 1 << 17  # bytes of a frame that the network card was to cut


def end_of(interface):
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    end.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    end.bind((interface, ETH_P_ALL))
    return end


def main():
    delay, jitter, loss = map(float, sys.argv[3:6])
    ends = [end_of(interface) for interface in sys.argv[1:3]]
    shares = {ends[0]: loss, ends[1]: 1.0 if "deaf" in sys.argv[6:] else loss}
    others = dict(zip(ends, reversed(ends)))
    dice, waiting, number = random.Random(1), [], 0
    while True:
        wait = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(ends, [], [], wait)[0]:
            frame, address = end.recvfrom(LONGEST)
            if address[2] != socket.PACKET_OUTGOING and dice.random() >= shares[end]:
                number += 1
                due = time.monotonic() + delay + dice.uniform(-jitter, jitter)
                heapq.heappush(waiting, (due, number, others[end], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, _, end, frame = heapq.heappop(waiting)
            try:
                end.send(frame)
            except OSError:
                pass  # a cable without a member


if __name__ == "__main__":
    main()
