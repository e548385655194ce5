"""pynetdicom as RIS that is told which instances can be fetched: availability.py PORT LISTEN-PORT FILE...

Sends the files as a modality, refuses the first notification, takes the second."""

import sys
import threading

import pydicom
from pynetdicom import AE, evt
from pynetdicom.sop_class import InstanceAvailabilityNotification

import steady  # noqa: F401

port, listen_port, files = int(sys.argv[1]), int(sys.argv[2]), [pydicom.dcmread(path) for path in sys.argv[3:]]
told, heard, refusals = [], threading.Event(), [0x0110]


def create(event):
    if refusals:
        return refusals.pop(), None
    told.append(event.attribute_list)
    heard.set()
    return 0x0000, event.attribute_list


ris = AE("RIS")
ris.add_supported_context(InstanceAvailabilityNotification)
server = ris.start_server(("127.0.0.1", listen_port), block=False, evt_handlers=[(evt.EVT_N_CREATE, create)])

modality = AE("CT1")
for sop_class, syntax in {(f.SOPClassUID, f.file_meta.TransferSyntaxUID) for f in files}:
    modality.add_requested_context(sop_class, syntax)
association = modality.associate("127.0.0.1", port, ae_title="YINGHAI")
assert association.is_established
for file in files:
    assert association.send_c_store(file).Status == 0x0000
association.release()

assert heard.wait(60), "nobody told us"
assert not refusals
notification = told[0]
assert notification.StudyInstanceUID == files[0].StudyInstanceUID
assert "ReferencedPerformedProcedureStepSequence" in notification
series = notification.ReferencedSeriesSequence[0]
assert series.SeriesInstanceUID == files[0].SeriesInstanceUID
referenced = {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence}
assert referenced == {file.SOPInstanceUID for file in files}, referenced
for item in series.ReferencedSOPSequence:
    assert (item.InstanceAvailability, item.RetrieveAETitle) == ("ONLINE", "YINGHAI"), item
    assert item.ReferencedSOPClassUID == files[0].SOPClassUID
server.shutdown()
print("all is well")
