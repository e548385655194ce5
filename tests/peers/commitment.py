"""pynetdicom as modality that deletes only what is committed: commitment.py PORT LISTEN-PORT FILE...

Sends the files, asks for commitment of them and of one that was not sent, and hears of it over the same association, and
over one that the archive opens when ours is closed."""

import sys
import threading

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel as Commitment, StorageCommitmentPushModelInstance as Instance

import steady  # noqa: F401

port, listen_port, files = int(sys.argv[1]), int(sys.argv[2]), [pydicom.dcmread(path) for path in sys.argv[3:]]
heard, reports = threading.Event(), []


def report(event):
    reports.append((event.event_type, event.event_information))
    heard.set()
    return 0x0000, None


handlers = [(evt.EVT_N_EVENT_REPORT, report)]


def references(datasets):
    items = []
    for ds in datasets:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
        items.append(item)
    return items


def ask(association, datasets, **change):
    ds = Dataset()
    ds.TransactionUID = generate_uid()
    ds.ReferencedSOPSequence = references(datasets)
    for name, value in change.items():
        setattr(ds, name, value)
    status, _ = association.send_n_action(ds, 1, Commitment, Instance)
    return ds.TransactionUID, status.Status


def open_association(evt_handlers=handlers):
    ae = AE("MODALITY")
    ae.add_requested_context(Commitment)
    for sop_class, syntax in {(f.SOPClassUID, f.file_meta.TransferSyntaxUID) for f in files}:
        ae.add_requested_context(sop_class, syntax)
    association = ae.associate("127.0.0.1", port, ae_title="YINGHAI", evt_handlers=evt_handlers)
    assert association.is_established, "no association"
    return association


def check(transaction, committed, failed):
    assert heard.wait(30), "no report"
    heard.clear()
    event_type, information = reports.pop()
    assert information.TransactionUID == transaction
    assert event_type == (2 if failed else 1), event_type
    came = {item.ReferencedSOPInstanceUID for item in information.get("ReferencedSOPSequence", [])}
    assert came == {ds.SOPInstanceUID for ds in committed}, came
    came = {item.ReferencedSOPInstanceUID: item.FailureReason for item in information.get("FailedSOPSequence", [])}
    assert came == failed, came


never_sent = Dataset()
never_sent.SOPClassUID, never_sent.SOPInstanceUID = files[0].SOPClassUID, "1.2.3.4.5"
other_class = Dataset()
other_class.SOPClassUID, other_class.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", files[0].SOPInstanceUID

association = open_association()
for file in files:
    assert association.send_c_store(file).Status == 0x0000

# Over the same association, which goes on.
transaction, status = ask(association, files)
assert status == 0x0000, hex(status)
check(transaction, files, {})
transaction, status = ask(association, files[1:] + [never_sent, other_class])
check(transaction, files[1:], {"1.2.3.4.5": 0x0112, files[0].SOPInstanceUID: 0x0119})
assert association.send_c_store(files[0]).Status == 0x0000

# What is no request is refused.
_, status = ask(association, [])
assert status == 0x0115, hex(status)
ds = Dataset()
ds.TransactionUID = generate_uid()
status, _ = association.send_n_action(ds, 1, Commitment, "1.2.3")
assert status.Status == 0x0112, status
association.release()

# Over an association that the archive opens, where ours does not want to hear of it.
def refuse(event):
    return 0x0110, None


ae = AE("MODALITY")
ae.add_supported_context(Commitment, scu_role=False, scp_role=True)
server = ae.start_server(("127.0.0.1", listen_port), block=False, evt_handlers=handlers)
association = open_association(evt_handlers=[(evt.EVT_N_EVENT_REPORT, refuse)])
transaction, status = ask(association, files)
assert status == 0x0000, hex(status)
check(transaction, files, {})
association.release()
server.shutdown()

# Nobody is there: it is tried again until somebody is.
association = open_association(evt_handlers=[(evt.EVT_N_EVENT_REPORT, refuse)])
transaction, status = ask(association, files)
association.release()
assert not heard.wait(2)
server = ae.start_server(("127.0.0.1", listen_port), block=False, evt_handlers=handlers)
check(transaction, files, {})
server.shutdown()
print("all is well")
