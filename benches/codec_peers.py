"""What OpenJPH and CharLS do with the frame of codec.rs on one processor: MB of pixels a second, the best of ten."""

import time

import imagecodecs
import numpy

SIDE = 2048
at = numpy.arange(SIDE * SIDE)
rings = ((at % SIDE) ** 2 + (at // SIDE) ** 2) // 5000 % 3000
noise = numpy.random.default_rng(1).integers(0, 16, SIDE * SIDE)
frame = (rings + noise).astype("u2").reshape(SIDE, SIDE)


def best(function, *arguments):
    shortest = 1e9
    for _ in range(10):
        start = time.process_time()
        result = function(*arguments)
        shortest = min(shortest, time.process_time() - start)
    return result, frame.nbytes / 1e6 / shortest


for name, encode, decode in [
    ("OpenJPH", lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True), imagecodecs.htj2k_decode),
    ("CharLS", imagecodecs.jpegls_encode, imagecodecs.jpegls_decode),
]:
    encoded, written = best(encode, frame)
    decoded, read = best(decode, encoded)
    assert (decoded == frame).all()
    print(f"{name}: encode {written:.0f} MB/s, decode {read:.0f} MB/s, {len(encoded)} bytes")
