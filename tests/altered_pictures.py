"""Pictures as they must not pass unseen: each alteration is something that happens to a camera or a conveyor."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from inspector.core.frame import Pixels, decode


def _noisy(pixels: Pixels, deviation: float) -> Pixels:
    noise = np.random.default_rng(7).normal(0, deviation, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


def _along(pixels: Pixels, kernel: np.ndarray) -> Pixels:
    return cv2.filter2D(
        pixels, -1, (kernel / kernel.sum()).astype(np.float32), borderType=cv2.BORDER_REPLICATE
    )


def _gaussian(pixels: Pixels, share: float) -> Pixels:
    """Blurred by a share of the width."""
    return cv2.GaussianBlur(pixels, (0, 0), share * pixels.shape[1])


def _motion(pixels: Pixels, share: float, kind: str) -> Pixels:
    length = max(round(share * pixels.shape[1]), 2)
    kernels = {"x": np.ones((1, length)), "y": np.ones((length, 1)), "diagonal": np.eye(length)}
    return _along(pixels, kernels[kind])


def _filled(pixels: Pixels, rows: slice, value: int) -> Pixels:
    filled = pixels.copy()
    filled[rows] = value
    return filled


def _empty(pixels: Pixels) -> Pixels:
    """The conveyor without the part: the strip above it, all the way down, with the noise of a sensor."""
    strip = pixels[: max(len(pixels) // 75, 1)].mean(axis=0, keepdims=True)
    return _noisy(np.repeat(strip, len(pixels), axis=0).astype(np.uint8), 2)


def _wiped(pixels: Pixels) -> Pixels:
    """The conveyor without the part: the border's mean colour, with the noise of a sensor."""
    border = np.concatenate([pixels[:3].reshape(-1, 3), pixels[-3:].reshape(-1, 3)]).mean(axis=0)
    return _noisy(np.broadcast_to(border, pixels.shape).astype(np.uint8), 2)


def _twelve_bits(pixels: Pixels) -> Pixels:
    """12 bits in a 16-bit PNG, not shifted up: decoded, the upper 8 of 16 bits are left."""
    deep = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(np.uint16) << 4
    return decode(cv2.imencode(".png", deep)[1].tobytes(), "apply", 50)


def _resized(pixels: Pixels, x: float, y: float) -> Pixels:
    return cv2.resize(pixels, None, fx=x, fy=y, interpolation=cv2.INTER_AREA)


def _lit(pixels: Pixels, *shares: float) -> Pixels:
    return np.rint(pixels * np.array(shares)).astype(np.uint8)


ALTERATIONS: dict[str, Callable[[Pixels], Pixels]] = {
    "black": lambda pixels: pixels * 0,
    "lens cap": lambda pixels: _noisy(pixels * 0, 4),
    "white": lambda pixels: pixels * 0 + 255,
    "overexposed": lambda pixels: cv2.convertScaleAbs(pixels, alpha=3, beta=40),
    "moved along x": lambda pixels: _motion(pixels, 0.03, "x"),
    "moved along y": lambda pixels: _motion(pixels, 0.03, "y"),
    "moved aslant": lambda pixels: _motion(pixels, 0.03, "diagonal"),
    "defocused": lambda pixels: _gaussian(pixels, 0.006),
    "out of focus": lambda pixels: _gaussian(pixels, 0.015),
    "half the size": lambda pixels: _resized(pixels, 0.5, 0.5),
    "twice the size": lambda pixels: _resized(pixels, 2, 2),
    "on its side": lambda pixels: np.ascontiguousarray(pixels.transpose(1, 0, 2)),
    "another aspect": lambda pixels: _resized(pixels, 1, 1.125),
    "empty conveyor": _empty,
    "nothing but background": _wiped,
    "12 bits in 16": _twelve_bits,
    "a decoder's grey": lambda pixels: pixels * 0 + 128,
    "lower half grey": lambda pixels: _filled(pixels, slice(len(pixels) // 2, None), 128),
    "lower half black": lambda pixels: _filled(pixels, slice(len(pixels) // 2, None), 0),
    "upper half grey": lambda pixels: _filled(pixels, slice(0, len(pixels) // 2), 128),
    "blue light": lambda pixels: _lit(pixels, 1, 0.75, 0.35),
    "yellow light": lambda pixels: _lit(pixels, 0.6, 0.95, 1),
}
