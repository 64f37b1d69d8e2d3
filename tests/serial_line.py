"""A serial line for tests: a real pseudo-terminal with a chip at its far end, or a peer that spoils what it says."""

import contextlib
import os
import select
import threading
import tty

from firmware_sim.serial import SerialFirmware, serve
from protocols import mctp


@contextlib.contextmanager
def running(work):
    """Run `work(stop)` in a thread; pytest turns what it raises into a failure."""
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def served(chip):
    """Serve `chip` as firmware_sim does, and give the path of its port."""
    paths, opened = [], threading.Event()

    def ready(path):
        paths.append(path)
        opened.set()

    with running(lambda stop: serve(chip, ready=ready, stop=stop)):
        assert opened.wait(5)
        yield paths[0]


class Line:
    """A pseudo-terminal whose far end answers with `reply(number, request)`: bytes, or None to be pulled out."""

    def __init__(self, reply):
        self.reply = reply
        self.requests = []
        self.deaf_after = None
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)

    def run(self, stop):
        """Answer until `stop`, or until `reply` gives None; with `deaf_after` requests it stops to read."""
        receiver = mctp.Receiver()
        while not stop.is_set():
            if len(self.requests) == self.deaf_after:
                stop.wait()
            elif select.select([self.master], [], [], 0.02)[0]:
                for request in receiver.feed(os.read(self.master, 4096)):
                    self.requests.append(request)
                    data = self.reply(len(self.requests), request)
                    if data is None:
                        return
                    os.write(self.master, data)

    def unplug(self):
        """Close both ends: a host sees a device that is gone."""
        os.close(self.slave)
        os.close(self.master)


@contextlib.contextmanager
def line(reply):
    """Run a `Line`; it is unplugged at the end, or as soon as `reply` gives None."""
    one = Line(reply)

    def work(stop):
        try:
            one.run(stop)
        finally:
            one.unplug()

    with running(work):
        yield one


def frames(firmware, request):
    """Return the frames of the firmware's answer."""
    return mctp.frames(firmware.answer(request))


def wire(firmware, request):
    """Return the bytes of the firmware's answer."""
    return firmware.reply(request)


def answering(chip, change):
    """Return a reply: the chip's right bytes, changed by `change(number, data)`."""
    firmware = SerialFirmware(chip)
    return lambda number, request: change(number, wire(firmware, request))


def leaving(chip):
    """Return a reply: one answer of the chip, then it is pulled out before it reads the next request."""
    firmware = SerialFirmware(chip)
    return lambda number, request: wire(firmware, request) if number == 1 else None
