"""pynetdicom as an archive that is asked for storage commitment: keeper.py PORT ARCHIVE-PORT same|new|lossy

Takes instances, and says of each whether it has it: over the association by which it was asked, over one of its own, or,
lossy, at first not of the first that it took, which it has lost. Prints each SOP Instance UID that it answers for."""

import sys
import threading
import time

from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel as Commitment, StorageCommitmentPushModelInstance as Instance

import steady  # noqa: F401

port, archive_port, manner = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
held, lost = [], set()


def store(event):
    uid = event.request.AffectedSOPInstanceUID
    if manner == "lossy" and not lost:
        lost.add(uid)
    elif uid not in held:
        held.append(uid)
    return 0x0000


def report(asked):
    ds = Dataset()
    ds.TransactionUID = asked.TransactionUID
    kept, failed = [], []
    for item in asked.ReferencedSOPSequence:
        if item.ReferencedSOPInstanceUID in held:
            kept.append(item)
        else:
            item.FailureReason = 0x0112
            failed.append(item)
    if kept:
        ds.ReferencedSOPSequence = kept
    if failed:
        ds.FailedSOPSequence = failed
    return ds, 2 if failed else 1, [item.ReferencedSOPInstanceUID for item in kept]


def tell(association, asked):
    time.sleep(0.3)
    own = None
    if manner == "new" or not association.is_established:
        ae = AE("KEEPER")
        ae.add_requested_context(Commitment)
        role = build_role(Commitment, scu_role=False, scp_role=True)
        own = association = ae.associate("127.0.0.1", archive_port, ae_title="YINGHAI", ext_neg=[role])
        assert association.is_established, "no association"
    ds, event_type, kept = report(asked)
    status, _ = association.send_n_event_report(ds, event_type, Commitment, Instance)
    if own:
        own.release()
    if status.Status == 0x0000:
        for uid in kept:
            print(uid, flush=True)


def action(event):
    threading.Thread(target=tell, args=(event.assoc, event.action_information), daemon=True).start()
    return 0x0000, None


ae = AE("KEEPER")
ae.supported_contexts = AllStoragePresentationContexts
ae.add_supported_context(Commitment)
ae.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, store), (evt.EVT_N_ACTION, action)])
