"""Whether the machine itself stands still: all of its cores at once, whatever runs on them. A virtual machine does while its
host has something better to do; no player can play then, and who is hit is chance."""

import os
import subprocess
import sys
import threading
import time

# The watchers look so often, and tell of what is longer than this. Seconds.
PACE, TOLD = 0.004, 0.010


class Watch:
    """Watches from the beginning of the `with` block to its end."""

    def __init__(self):
        self.watchers = []
        self.gaps = {}

    def __enter__(self):
        for core in sorted(os.sched_getaffinity(0)):
            self.gaps[core] = []
            watcher = subprocess.Popen([sys.executable, __file__, str(core)], stdout=subprocess.PIPE, text=True)
            self.watchers.append(watcher)
            threading.Thread(target=self._listen, args=(watcher.stdout, self.gaps[core]), daemon=True).start()
        return self

    def __exit__(self, *_):
        for watcher in self.watchers:
            watcher.terminate()
            watcher.wait()

    @staticmethod
    def _listen(lines, gaps):
        for line in lines:
            begin, end = map(float, line.split())
            gaps.append((begin, end))

    def standstills(self, begin, end):
        """When no core ran, between two moments of `time.monotonic`: (begin, end) of each such time."""
        return common([[gap for gap in list(gaps) if gap[1] > begin and gap[0] < end] for gaps in self.gaps.values()])

    def longest(self, begin, end):
        """The longest of these, in seconds."""
        return max((last - first for first, last in self.standstills(begin, end)), default=0.0)


def common(cores):
    """What lies in a gap of every core; a gap is (begin, end)."""
    if not cores:
        return []
    shared, *others = cores
    for gaps in others:
        both = ((max(one[0], other[0]), min(one[1], other[1])) for one in shared for other in gaps)
        shared = [gap for gap in both if gap[0] < gap[1]]
    return shared


def watch(core):
    """Prints each time that the core did nothing for a thread of the highest priority: its begin and its end."""
    os.sched_setaffinity(0, {core})
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(os.sched_get_priority_max(os.SCHED_FIFO)))
    except PermissionError:
        return  # an ordinary thread would take load for a standstill
    before = time.monotonic()
    while True:
        time.sleep(PACE)
        now = time.monotonic()
        if now - before > TOLD:
            print(before, now, flush=True)
        before = now


if __name__ == "__main__":
    watch(int(sys.argv[1]))
