"""Keeps pynetdicom from losing the first answer to a request; imported for that alone.

Its reactor thread says that it is paused before it waits at its checkpoint, and takes that back only after. A
request made between the two finds it "paused" while it is on its way to the message queue, where on a busy machine
it takes the answer, logs "Received unexpected C-FIND service message" and drops it (pynetdicom 3.0.4,
`Association._run_reactor`; its issue 875). Here the reactor takes nothing once the checkpoint is closed.
"""

from threading import Event, Lock

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider


class Checkpoint(Event):
    """Is never closed while the reactor takes a message."""

    def __init__(self):
        super().__init__()
        self.taking = Lock()
        self.set()

    def clear(self):
        with self.taking:
            super().clear()


initialise, get_msg = Association.__init__, DIMSEServiceProvider.get_msg


def with_checkpoint(association, *arguments, **keywords):
    initialise(association, *arguments, **keywords)
    association._reactor_checkpoint = Checkpoint()


def get_when_open(provider, block=False):
    if block:  # Who waits for an answer has closed the checkpoint.
        return get_msg(provider, block=True)
    checkpoint = provider.assoc._reactor_checkpoint
    with checkpoint.taking:
        return get_msg(provider, block=False) if checkpoint.is_set() else (None, None)


Association.__init__, DIMSEServiceProvider.get_msg = with_checkpoint, get_when_open
