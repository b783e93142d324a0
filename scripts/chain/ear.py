"""Compares what the card played with what the agent said: how late each piece was heard, and whether it was whole."""

import math
import mmap
from array import array
from operator import mul

try:
    import numpy
except ImportError:  # slower by far: half an hour takes eight minutes
    numpy = None

SAMPLES = 160  # of a packet
WINDOW = 400  # samples: 50 ms
QUIET = 200.0  # level of a window, of 32768, below which speech is a pause
FARTHEST = 1.0  # seconds: nothing is heard later
SEEK_AGAIN = 0.2  # seconds between two searches over the whole range
NEAR, AROUND = 20, 160  # samples before and after where a window is expected: 2.5 and 20 ms
WHOLE = 0.9  # correlation of a window that was heard as it was said


class Heard:
    """The left channel of what a stereo card played, at any place, as if sampled at 8 kHz."""

    def __init__(self, card):
        times = card.times()
        self.start, self.rate = times["t0"], times["rate"]
        self.every = round(times["nominal_rate"] / 8000)
        self.xruns = times["xruns"]
        self.file = card.heard.open("rb")
        self.bytes = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        self.frames = len(self.bytes) // 4

    def index(self, at):
        return (at - self.start) * self.rate

    def time(self, index):
        return self.start + index / self.rate

    def samples(self, index, count):
        """`count` samples from a frame on, one of 8 kHz each."""
        index = max(index, 0)
        piece = array("h", self.bytes[index * 4 : (index + (count - 1) * self.every + 1) * 4])
        return piece[:: 2 * self.every]


def level(samples):
    return math.sqrt(sum(map(mul, samples, samples)) / max(len(samples), 1))


def likeness(said, samples):
    """Normalised correlation; 0 for silence."""
    power = sum(map(mul, samples, samples))
    if len(samples) < len(said) or power < 1:
        return 0.0
    return sum(map(mul, said, samples)) / math.sqrt(power * sum(map(mul, said, said)))


def search(heard, said, first, last, step):
    """The frame between `first` and `last` from which on the window was heard, and how like it is."""
    count = (last - first) // heard.every + WINDOW
    best = (0.0, first)
    for phase in range(0, heard.every, step):
        samples = heard.samples(first + phase, count)
        if numpy is not None and len(samples) >= WINDOW:
            at, like = best_place(said, samples)
            best = max(best, (like, first + phase + at * heard.every))
            continue
        for at in range(len(samples) - WINDOW + 1):
            like = likeness(said, samples[at : at + WINDOW])
            best = max(best, (like, first + phase + at * heard.every))
    return best[1], best[0]


def best_place(said, samples):
    """The same with numpy: where a window is most like what was said, and how much."""
    said, samples = numpy.array(said, float), numpy.array(samples, float)
    products = numpy.correlate(samples, said, "valid")
    sums = numpy.concatenate([[0.0], numpy.cumsum(samples**2)])
    powers = numpy.maximum(sums[len(said) :] - sums[: -len(said)], 1.0)
    likes = products / numpy.sqrt(powers * (said @ said))
    at = int(likes.argmax())
    return at, float(likes[at])


def pieces(speech, heard, stamps, begin, end):
    """For each window of speech between two times: (time said, delay in seconds or None, likeness, level).

    The level is that of what was said, in a pause that of what was heard; a pause has no likeness.

    The delay of a sample counts from when its packet left, plus its place in the packet: the first sample of a packet that
    is heard the moment the packet leaves has a delay of 0.
    """
    delay = None
    sought = -math.inf
    length = len(speech) - len(speech) % SAMPLES
    for place in range(0, (len(stamps) - 4) * SAMPLES, WINDOW):
        packet, offset = divmod(place, SAMPLES)
        said_at = stamps[packet] + offset / 8000
        if not begin <= said_at < end:
            continue
        said = [speech[(place + n) % length] for n in range(WINDOW)]
        if delay is not None and level(said) < QUIET:
            index = round(heard.index(said_at + delay))
            yield said_at, None, None, level(heard.samples(index, WINDOW))
            continue
        if level(said) < QUIET:
            continue
        index, like = 0, 0.0
        if delay is not None:
            expected = round(heard.index(said_at + delay))
            near, around = NEAR * heard.every, AROUND * heard.every
            index, like = search(heard, said, expected - near, expected + near, 1)
            if like < WHOLE:
                # A packet that left late is heard early, and the next one isn't: neither harms what is heard.
                at, found = search(heard, said, expected - around, expected + around, heard.every)
                if found > like:
                    index, like = at, found
        if like < WHOLE and (delay is None or said_at - sought > SEEK_AGAIN):
            sought = said_at
            first = max(round(heard.index(said_at)), 0)
            far, found = search(heard, said, first, first + round(FARTHEST * heard.rate), heard.every)
            if found > max(like, 0.6):
                index, like = far, found
        if like >= 0.6:
            delay = heard.time(index) - said_at
            yield said_at, delay, like, level(said)
        else:
            yield said_at, None, like, level(said)


def quantile(values, share):
    values = sorted(values)
    return values[min(int(share * len(values)), len(values) - 1)] if values else math.nan
