"""Compares the frames of files in many transfer syntaxes with those of the native file beside them.

transcoding.py FOLDER: FOLDER/CASE/native.dcm, and FOLDER/CASE/*.dcm in other transfer syntaxes. Says on one line each what
is not so, then how many frames were compared by which decoder.
"""

import struct
import sys
import warnings
import zlib
from collections import Counter
from pathlib import Path

import imagecodecs
import numpy
import openjpeg
import pydicom
from pydicom.encaps import generate_frames
from pydicom.pixels import convert_color_space

sys.stdout.reconfigure(line_buffering=True)
warnings.simplefilter("ignore")
HTJ2K = {f"1.2.840.10008.1.2.4.{number}" for number in (201, 202, 203)}
JPEG_2000 = {"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"}
JPEG_LS = {"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"}
compared = Counter()


def rle(frame, dataset):
    """PS3.5 Annex G by pydicom's own decoder."""
    from pydicom.pixels.decoders.rle import _rle_decode_frame

    planes = numpy.frombuffer(
        _rle_decode_frame(frame, dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.BitsAllocated, ">"),
        f"<u{dataset.BitsAllocated // 8}",
    )
    return planes.reshape(dataset.SamplesPerPixel, -1).T


def decoders(syntax, dataset):
    """Independent decoders of a frame: name, function to samples in any shape."""
    if syntax == "1.2.840.10008.1.2.5":
        return [("pydicom RLE", lambda frame: rle(frame, dataset))]
    if syntax == "1.2.840.10008.1.2.8.1":
        kind = f"<u{dataset.BitsAllocated // 8}"
        return [("zlib", lambda frame: numpy.frombuffer(zlib.decompressobj(-15).decompress(frame), kind))]
    if syntax == "1.2.840.10008.1.2.4.50":
        return [("libjpeg-turbo", imagecodecs.jpeg8_decode)]
    if syntax == "1.2.840.10008.1.2.4.70":
        return [("jpegsof3", imagecodecs.jpegsof3_decode), ("ljpeg of lj92", imagecodecs.ljpeg_decode)][
            : 2 if dataset.SamplesPerPixel == 1 else 1
        ]
    if syntax in JPEG_LS:
        return [("CharLS", imagecodecs.jpegls_decode)]
    if syntax == "1.2.840.10008.1.2.4.203":
        # imagecodecs does not clip what OpenJPH gives: 256 becomes 0.
        return [("OpenJPEG", openjpeg.decode)]
    if syntax in HTJ2K:
        return [("OpenJPH", imagecodecs.htj2k_decode), ("OpenJPEG", openjpeg.decode)]
    if syntax in JPEG_2000:
        return [("OpenJPEG", openjpeg.decode), ("imagecodecs' OpenJPEG", imagecodecs.jpeg2k_decode)]
    if syntax == "1.2.840.10008.1.2.4.110":
        return [("libjxl", imagecodecs.jpegxl_decode)]
    raise ValueError(f"no decoder for {syntax}")


def frames_of(dataset):
    """Frames as rows of samples, colour by pixel, in whole containers without a sign."""
    kind = f"<u{dataset.BitsAllocated // 8}"
    native = numpy.frombuffer(dataset.PixelData, kind)
    samples = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
    frames = native[: samples * int(dataset.get("NumberOfFrames", 1) or 1)].reshape(-1, samples)
    if dataset.SamplesPerPixel == 3 and dataset.PlanarConfiguration == 1:
        frames = frames.reshape(len(frames), 3, -1).transpose(0, 2, 1).reshape(len(frames), -1)
    return frames


def to_rgb(frame, dataset):
    pixels = frame.reshape(dataset.Rows, dataset.Columns, 3)
    return convert_color_space(pixels, "YBR_FULL", "RGB").ravel()


def is_ybr(dataset):
    return dataset.PhotometricInterpretation == "YBR_FULL"


def signed(values, dataset):
    """Two's complement of as many bits as are stored, for comparisons by distance."""
    values = values.astype("i8")
    if dataset.PixelRepresentation:
        half = 1 << (dataset.BitsStored - 1)
        values = (values & (2 * half - 1) ^ half) - half
    return values


def allowed(path, native):
    """How far a sample may be away, and on average: told by the file's name, none for what is lossless; below 1 of its range."""
    _, _, of = path.stem.partition("~")
    if not of:
        return 0.0, 0.0
    largest, mean = (float(part) for part in of.split("~"))
    unit = 1 << native.BitsStored if largest < 1 else 1
    return largest * unit, mean * unit


def by_pixel(values, native):
    """Some decoders give colour that was not transformed by plane."""
    planes, pixels = (3, native.Rows, native.Columns), (native.Rows, native.Columns, 3)
    if values.shape == planes and planes != pixels:
        values = numpy.moveaxis(values, 0, 2)
    return values.ravel()


def ends_of_resolutions(codestream):
    """Where the tile-parts end, which are one a resolution, by TLM with 16 bits for the tile and 32 for the length."""
    at = 2
    while (marker := codestream[at : at + 2]) != b"\xff\x90":
        length = struct.unpack_from(">H", codestream, at + 2)[0]
        if marker == b"\xff\x55":
            parts = [struct.unpack_from(">HI", codestream, at + 6 + 6 * part)[1] for part in range((length - 4) // 6)]
        at += 2 + length
    return [at + sum(parts[: part + 1]) for part in range(len(parts))]


def check_prefixes(path, codestream):
    """OpenJPH finds in each prefix the smaller image that it finds in the whole."""
    ends = ends_of_resolutions(codestream)
    for skipped, end in enumerate(reversed(ends)):
        if skipped == 0:
            continue
        whole = imagecodecs.htj2k_decode(codestream, skipres=skipped)
        prefix = imagecodecs.htj2k_decode(codestream[:end], skipres=skipped, resilient=True)
        if whole.shape != prefix.shape or (whole != prefix).any():
            print(f"{path}: the first {end} bytes give another image, halved {skipped} times")
        compared["OpenJPH of prefixes"] += 1


def check(path, native, originals):
    dataset = pydicom.dcmread(path)
    syntax = dataset.file_meta.TransferSyntaxUID
    number = int(dataset.get("NumberOfFrames", 1) or 1)
    encoded = list(generate_frames(dataset.PixelData, number_of_frames=number))
    if len(encoded) != len(originals):
        print(f"{path}: {len(encoded)} frames, {len(originals)} are right")
    largest, mean = allowed(path, native)
    if is_ybr(native) != is_ybr(dataset):
        # One was converted, the other was not: compared as RGB, with what two roundings make of it.
        originals = [to_rgb(frame, native) if is_ybr(native) else frame for frame in originals]
        largest = largest * 3 + 2
    for index, (frame, original) in enumerate(zip(encoded, originals)):
        if syntax == "1.2.840.10008.1.2.4.202":
            check_prefixes(path, frame)
        for name, decode in decoders(syntax, dataset):
            try:
                values = by_pixel(numpy.asarray(decode(frame)), native)
            except Exception as error:
                print(f"{path} frame {index}: {name} fails: {error}")
                continue
            kind = f"u{values.itemsize}"
            values = values.astype(kind) if values.dtype.kind in "iu" else values
            if is_ybr(dataset) and not is_ybr(native):
                values = to_rgb(values, dataset)
            container = f"u{original.itemsize}"
            if len(values) != len(original):
                print(f"{path} frame {index}: {name} gives {len(values)} samples, {len(original)} are right")
                continue
            apart = numpy.abs(signed(values.astype(container), native) - signed(original, native))
            if apart.max() > largest or apart.mean() > mean and mean:
                print(f"{path} frame {index}: {name} gives samples {apart.max()} and on average {apart.mean():.2f} apart")
            compared[name] += 1


def main():
    for native in sorted(Path(sys.argv[1]).glob("*/native.dcm")):
        dataset = pydicom.dcmread(native)
        originals = frames_of(dataset)
        for path in sorted(native.parent.glob("*.dcm")):
            if path != native:
                check(path, dataset, originals)
    print("compared:", ", ".join(f"{count} by {name}" for name, count in sorted(compared.items())))


if __name__ == "__main__":
    main()
