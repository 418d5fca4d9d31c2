"""Image file bytes to pixels, or the reason why not."""

import itertools
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.core.frame import Frame, FrameError, Identity, decode

UPPER = (200, 100, 20)
LOWER = (20, 60, 240)
GREYS = (200, 60)
JPEG_ERROR = 4
CODES = {"unreadable", "unsupported", "too_large"}


def halves(upper, lower, width: int = 60, height: int = 40) -> np.ndarray:
    """A picture whose upper half has one colour and whose lower half another."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[: height // 2], pixels[height // 2 :] = upper, lower
    return pixels


PICTURE = halves(UPPER, LOWER)


def encoded(suffix: str, pixels: np.ndarray, *parameters: int) -> bytes:
    is_done, data = cv2.imencode(suffix, pixels, list(parameters))
    assert is_done
    return data.tobytes()


def jpeg(pixels: np.ndarray = PICTURE) -> bytes:
    return encoded(".jpg", pixels, cv2.IMWRITE_JPEG_QUALITY, 95)


def layout(channels: int, bits: int) -> np.ndarray:
    """The picture as grey, BGR or BGRA, of 8 or 16 bits; the lower byte of 16 tells it from the upper."""
    pixels = halves((GREYS[0],) * 3, (GREYS[1],) * 3)[..., :1] if channels == 1 else PICTURE
    if channels == 4:
        pixels = np.dstack([pixels, np.full(pixels.shape[:2], 77, np.uint8)])
    return pixels if bits == 8 else pixels.astype(np.uint16) * 256 + 0x55


def decoded(data: bytes, orientation="apply", max_megapixels: float = 50) -> np.ndarray:
    return decode(data, orientation, max_megapixels)


def refusal(data: bytes, max_megapixels: float = 50) -> str:
    with pytest.raises(FrameError) as caught:
        decoded(data, max_megapixels=max_megapixels)
    assert str(caught.value)
    return caught.value.code


FILES = {
    "JPEG": jpeg(),
    "progressive JPEG": encoded(".jpg", PICTURE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "grey JPEG": encoded(".jpg", layout(1, 8)),
    "PNG": encoded(".png", PICTURE),
    "16-bit PNG": encoded(".png", layout(4, 16)),
    "BMP": encoded(".bmp", PICTURE),
    "TIFF": encoded(".tiff", PICTURE),
    "uncompressed TIFF": encoded(".tiff", PICTURE, cv2.IMWRITE_TIFF_COMPRESSION, 1),
    "WebP": encoded(".webp", PICTURE, cv2.IMWRITE_WEBP_QUALITY, 90),
    "lossless WebP": encoded(".webp", PICTURE),
}
any_file = pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())


@pytest.mark.parametrize("channels", [1, 3, 4], ids=["grey", "BGR", "BGRA"])
@pytest.mark.parametrize(
    ("suffix", "bits", "error"),
    [
        (".jpg", 8, JPEG_ERROR),
        (".png", 8, 0),
        (".png", 16, 0),
        (".bmp", 8, 0),
        (".tiff", 8, 0),
        (".tiff", 16, 1),
        (".webp", 8, 0),
    ],
)
def test_every_format_depth_and_layout_becomes_the_same_bgr(suffix, bits, error, channels) -> None:
    """Blue stays first, 16 bits give their upper 8, grey becomes three equal channels, alpha goes unseen."""
    pixels = decoded(encoded(suffix, layout(channels, bits)))
    wanted = halves((GREYS[0],) * 3, (GREYS[1],) * 3) if channels == 1 else PICTURE
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels[2:18].astype(int), wanted[2:18].astype(int), atol=error)
    np.testing.assert_allclose(pixels[22:].astype(int), wanted[22:].astype(int), atol=error)


def exif(orientation: int) -> bytes:
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + b"\0\0\0\0"


def turned_jpeg(orientation: int) -> bytes:
    data, payload = jpeg(), b"Exif\0\0" + exif(orientation)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + data[2:]


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def turned_png(orientation: int) -> bytes:
    data = encoded(".png", PICTURE)
    return data[:33] + chunk(b"eXIf", exif(orientation)) + data[33:]


def turned_webp(orientation: int) -> bytes:
    content = exif(orientation)
    size = struct.pack("<I", 59)[:3] + struct.pack("<I", 39)[:3]
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + size
    chunks = extended + encoded(".webp", PICTURE)[12:] + b"EXIF" + struct.pack("<I", len(content)) + content
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def turned_tiff(orientation: int) -> bytes:
    height, width = PICTURE.shape[:2]
    values = {256: (4, width), 257: (4, height), 258: (3, 8), 259: (3, 1), 262: (3, 1), 273: (4, 0)}
    values |= {274: (3, orientation), 277: (3, 1), 278: (4, height), 279: (4, width * height)}
    values[273] = (4, 8 + 2 + 12 * len(values) + 4)
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, (kind, value) in values.items())
    grey = halves((GREYS[0],) * 3, (GREYS[1],) * 3)[..., 0].tobytes()
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(values)) + entries + b"\0\0\0\0" + grey


@pytest.mark.parametrize("turned", [turned_jpeg, turned_png, turned_webp])
@pytest.mark.parametrize(
    ("orientation", "shape", "bright"),
    [
        (1, (40, 60), "top"),
        (3, (40, 60), "bottom"),
        (6, (60, 40), "right"),
        (8, (60, 40), "left"),
    ],
)
def test_the_exif_orientation_is_applied_or_ignored(turned, orientation, shape, bright) -> None:
    """Applied, the picture stands as the camera was held; ignored, it lies as it is stored."""
    edges = {"top": np.s_[2, 10], "bottom": np.s_[-3, 10], "left": np.s_[10, 2], "right": np.s_[10, -3]}
    data = turned(orientation)
    pixels = decoded(data)
    assert pixels.shape[:2] == shape
    np.testing.assert_allclose(pixels[edges[bright]].astype(int), UPPER, atol=JPEG_ERROR)
    stored = decoded(data, "ignore")
    assert stored.shape[:2] == (40, 60)
    np.testing.assert_allclose(stored[edges["top"]].astype(int), UPPER, atol=JPEG_ERROR)


@pytest.mark.parametrize("setting", ["apply", "ignore"])
def test_the_orientation_of_a_tiff_is_always_applied(setting) -> None:
    """It is part of the format, not of EXIF, and the setting leaves it alone."""
    pixels = decoded(turned_tiff(3), setting)
    assert pixels[2, 10].tolist() == [GREYS[1]] * 3
    assert pixels[-3, 10].tolist() == [GREYS[0]] * 3


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_of_an_animation_the_first_picture_counts(suffix) -> None:
    """What moves is inspected as it begins."""
    animation = cv2.Animation()
    animation.frames = [PICTURE, 255 - PICTURE]
    animation.durations = [100, 100]
    _, data = cv2.imencodeanimation(suffix, animation)
    np.testing.assert_allclose(decoded(data.tobytes())[2, 2].astype(int), UPPER, atol=JPEG_ERROR)


def test_of_several_pages_the_first_counts() -> None:
    """A multi-page TIFF is one inspection, of its first page."""
    _, data = cv2.imencodemulti(".tiff", [PICTURE, 255 - PICTURE])
    np.testing.assert_array_equal(decoded(data.tobytes()), PICTURE)


@any_file
def test_truncated_at_any_percent_is_unreadable(data) -> None:
    """Half a picture is never inspected as if it were one, wherever it was cut, also just before its end."""
    for percent in range(100):
        assert refusal(data[: len(data) * percent // 100]) == "unreadable", percent
    assert refusal(data[:-1]) == "unreadable"


@pytest.mark.parametrize("progressive", [0, 1], ids=["baseline", "progressive"])
@pytest.mark.parametrize("written", [0.3, 0.5, 0.8, 0.95])
def test_a_jpeg_whose_end_was_never_written_is_unreadable(progressive, written) -> None:
    """A file given its full size in advance is zeros from where the writing stopped: decoders show that as grey."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 150, 3), np.uint8)
    data = encoded(".jpg", noise, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
    count = int(len(data) * written)
    assert refusal(data[:count].ljust(len(data), b"\0")) == "unreadable"


@any_file
def test_what_follows_the_picture_does_no_harm(data) -> None:
    """Padding and trailing data of cameras are ignored."""
    np.testing.assert_array_equal(decoded(data + b"\0" * 64), decoded(data))
    np.testing.assert_array_equal(decoded(data + b"serial number 17"), decoded(data))


SAMPLES = sorted((Path(__file__).parents[3] / "sample_images").glob("*.jpg"))
WHOLE = SAMPLES[0].read_bytes()


def hole(content: bytes) -> bytes:
    half = len(WHOLE) // 2
    return WHOLE[:half] + content + WHOLE[half + len(content) :]


@pytest.mark.parametrize(
    "data",
    [
        *(WHOLE[: len(WHOLE) * percent // 100] + b"\xff\xd9" for percent in (30, 50, 95)),
        WHOLE[:-200] + b"\xff\xd9",
        hole(bytes(4_096)),
        hole(bytes(512)),
        hole(np.random.default_rng(0).bytes(512)),
        WHOLE[: len(WHOLE) // 2] + WHOLE[len(WHOLE) // 2 + 512 :],
        WHOLE[: len(WHOLE) // 2] + SAMPLES[1].read_bytes(),
        WHOLE + SAMPLES[1].read_bytes(),
    ],
    ids=[
        "end behind 30 %", "end behind 50 %", "end behind 95 %", "the last 200 bytes lack", "4 KiB of zeros",
        "512 zeros", "noise", "512 bytes lack", "half a picture and another", "two pictures",
    ],
)  # fmt: skip
def test_a_damaged_jpeg_is_refused(data, capfd) -> None:
    """What a decoder would fill with grey is not inspected, and nothing is written to standard error."""
    assert refusal(data) == "unreadable"
    assert capfd.readouterr().err == ""


def test_several_pictures_that_the_file_announces() -> None:
    """Of a multi-picture JPEG, which says that it is one, the first picture is inspected."""
    announced = WHOLE[:2] + b"\xff\xe2" + struct.pack(">H", 8) + b"MPF\0\0\0" + WHOLE[2:]
    np.testing.assert_array_equal(decoded(announced + WHOLE), decoded(WHOLE))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_a_sound_picture_is_read(sample) -> None:
    """The sample pictures, as they are."""
    assert decoded(sample.read_bytes()).shape == (300, 450, 3)


ENCODINGS = list(
    itertools.product((0, 1), (0, 1, 7), (0, 1), (0x411111, 0x221111, 0x211111, 0x121111, 0x111111))
)
FLAT = np.full((33, 49, 3), 128, np.uint8)


@pytest.mark.parametrize(
    "pixels", [PICTURE, PICTURE[..., :1], PICTURE[:1, :1], FLAT, FLAT * 0, FLAT * 0 + 255]
)
def test_a_sound_jpeg_of_any_encoding_is_read(pixels) -> None:
    """Baseline or progressive, restart markers or none, optimized, of any sampling; also one flat grey."""
    names = (cv2.IMWRITE_JPEG_PROGRESSIVE, cv2.IMWRITE_JPEG_RST_INTERVAL, cv2.IMWRITE_JPEG_OPTIMIZE)
    names += (cv2.IMWRITE_JPEG_SAMPLING_FACTOR,)
    for values in ENCODINGS:
        parameters = itertools.chain.from_iterable(zip(names, values, strict=True))
        assert decoded(encoded(".jpg", pixels, *parameters)).shape[:2] == pixels.shape[:2]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "unreadable"),
        (b"\xff\xd8", "unreadable"),
        (b"scratch at the upper left\n", "unsupported"),
        (b"\0" * 4_096, "unsupported"),
        (b"GIF89a" + b"\x10\0\x10\0" + b"\0" * 64, "unsupported"),
        (b"%PDF-1.7\n" + b" " * 64, "unsupported"),
        (b"RIFF\x40\0\0\0WAVEfmt " + b"\0" * 64, "unsupported"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "unreadable"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 64, "unreadable"),
        (b"BM" + b"\0" * 64, "unreadable"),
        (b"II*\0" + b"\xff" * 64, "unreadable"),
        (b"RIFF\x40\0\0\0WEBPVP8X" + b"\xff" * 64, "too_large"),
        (encoded(".tiff", PICTURE.astype(np.float32)), "unreadable"),
    ],
    ids=[
        "empty", "two bytes", "text", "zeros", "GIF", "PDF", "WAV", "PNG of zeros", "JPEG of zeros",
        "BMP of zeros", "TIFF of ones", "WebP of ones", "floating-point TIFF",
    ],
)  # fmt: skip
def test_what_is_no_picture_is_told_from_its_content(data, code) -> None:
    """Another format is unsupported, a broken one unreadable; the file's name plays no part."""
    assert refusal(data) == code


def png_bomb(side_px: int) -> bytes:
    """A valid PNG, black, of one bit a pixel: a thousandth of its size."""
    header = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side_px * (side_px // 8 + 1)), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_huge_png_is_refused_from_its_header() -> None:
    """30,000 x 30,000 pixels in half a megabyte cost neither time nor memory."""
    data = png_bomb(30_000)
    tracemalloc.start()
    started = time.process_time()
    code = refusal(data)
    spent_s, (_, peak_bytes) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == "too_large"
    assert spent_s < 0.1
    assert peak_bytes < 1e6


def test_a_jpeg_cannot_hide_how_large_it_is() -> None:
    """A size behind a marker that parsers read differently is found as well, before anything is decoded."""
    data = jpeg(PICTURE[:16, :16])
    start = data.index(b"\xff\xc0")
    length = 2 + struct.unpack(">H", data[start + 2 : start + 4])[0]
    small, rest = data[start : start + length], data[start + length :]
    large = small[:5] + struct.pack(">HH", 20_000, 20_000) + small[9:]
    hidden = data[2:start] + large + rest
    crafted = data[:2] + b"\xff\x00" + struct.pack(">H", len(hidden) + 2) + hidden + small + rest
    assert refusal(crafted) == "too_large"


@any_file
def test_the_limit_is_in_megapixels_and_inclusive(data) -> None:
    """At the limit a picture is decoded, above it is refused."""
    megapixels = PICTURE.shape[0] * PICTURE.shape[1] / 1e6
    decoded(data, max_megapixels=megapixels)
    assert refusal(data, max_megapixels=megapixels * 0.999) == "too_large"


@any_file
def test_hostile_headers_never_raise_anything_else(data) -> None:
    """Whatever a header says, there is a picture or a reason, never another exception."""
    rng = np.random.default_rng(7)
    for _ in range(150):
        mutated = bytearray(data)
        for place in rng.integers(0, min(len(data), 120), rng.integers(1, 6)):
            mutated[place] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)])
        try:
            pixels = decoded(bytes(mutated), max_megapixels=1)
        except FrameError as error:
            assert error.code in CODES
        else:
            assert pixels.dtype == np.uint8
            assert pixels.shape[2:] == (3,)
            assert pixels.size <= 3e6


IDENTITY = Identity("top/tag-0412.jpg", 1_763_780_400_123_456_789, 28_093, "ab" * 32)


def test_an_identity_tells_camera_and_name() -> None:
    """The subdirectory is the camera; a file in the image directory itself has none."""
    assert (IDENTITY.camera, IDENTITY.name) == ("top", "tag-0412.jpg")
    deep = Identity("line 1/top/x.jpg", 0, 0, "")
    assert (deep.camera, deep.name) == ("line 1/top", "x.jpg")
    flat = Identity("x.jpg", 0, 0, "")
    assert (flat.camera, flat.name) == ("", "x.jpg")


def test_an_inspection_id_is_the_same_for_ever() -> None:
    """Ids in ledgers and messages outlive versions of this code: 32 digits of SHA-256 over NUL-separated fields."""
    assert IDENTITY.inspection_id("line-3") == "353ea4618d73ca19ad1588cb48cd1b4f"


@pytest.mark.parametrize(
    "other",
    [
        Identity("top/tag-0413.jpg", IDENTITY.mtime_ns, IDENTITY.size_bytes, IDENTITY.sha256),
        Identity(IDENTITY.path, IDENTITY.mtime_ns + 1, IDENTITY.size_bytes, IDENTITY.sha256),
        Identity(IDENTITY.path, IDENTITY.mtime_ns, IDENTITY.size_bytes + 1, IDENTITY.sha256),
        Identity(IDENTITY.path, IDENTITY.mtime_ns, IDENTITY.size_bytes, "cd" * 32),
        Identity(IDENTITY.path, IDENTITY.mtime_ns, IDENTITY.size_bytes, IDENTITY.sha256, occurrence=1),
        Identity("top/tag\udcff.jpg", IDENTITY.mtime_ns, IDENTITY.size_bytes, IDENTITY.sha256),
    ],
    ids=["path", "time", "size", "content", "occurrence", "not UTF-8"],
)
def test_another_version_of_a_file_is_another_inspection(other) -> None:
    """Each field counts, and the thing that inspects."""
    assert other.inspection_id("line-3") != IDENTITY.inspection_id("line-3")
    assert other.inspection_id("line-4") != other.inspection_id("line-3")


def test_a_frame_knows_its_size() -> None:
    """Width before height, whatever the array's order."""
    frame = Frame(IDENTITY, 0.0, PICTURE)
    assert (frame.width, frame.height) == (60, 40)
