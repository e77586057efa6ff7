"""Soft guesses of where sky, water, leaves and the subject of a photo are: labels for training only.

Colour, texture and GrabCut (Rother et al. 2004) on a reduced picture. At run time the network itself says where.
"""

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]


def guess(pixels: Pixels) -> npt.NDArray[np.uint8]:
    """Masks ``uint8 [4, H, W]`` (sky, water, foliage, subject) of a picture ``uint8 [H, W, 3]`` RGB."""
    height, width = pixels.shape[:2]
    small = np.asarray(cv2.resize(pixels, (196, 112), interpolation=cv2.INTER_AREA), np.uint8)
    sky = _sky(small)
    foliage = _foliage(small) * (1 - sky)
    water = _water(small, sky) * (1 - foliage) * (1 - sky)
    subject = _subject(small)
    masks = [cv2.resize(cv2.GaussianBlur(m, (0, 0), 1.2), (width, height)) for m in (sky, water, foliage, subject)]
    return (np.clip(np.stack(masks), 0, 1) * 255).astype(np.uint8)


def _texture(small: Pixels) -> Mask:
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (7, 7))
    return np.sqrt(np.maximum(cv2.blur(grey * grey, (7, 7)) - mean * mean, 0))


def _cut(small: Pixels, labels: npt.NDArray[np.uint8]) -> Mask:
    """GrabCut from a label map of OpenCV's GC_* values; zeros where it has nothing to work with."""
    sure = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    if sure.sum() < 40 or (~sure).sum() < 40:
        return np.zeros(labels.shape, np.float32)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(1)
    cv2.grabCut(small[..., ::-1].copy(), labels, (0, 0, 1, 1), background, foreground, 3, cv2.GC_INIT_WITH_MASK)
    return ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.float32)


def _sky(small: Pixels) -> Mask:
    rows = small.shape[0]
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV).astype(np.float32)
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    blue = (hue > 85) & (hue < 135)
    likely = (_texture(small) < 14) & ((blue & (value > 50)) | ((saturation < 60) & (value > 130)) | (value > 190))
    seed = np.zeros_like(likely)
    seed[: rows // 4] = likely[: rows // 4]
    if seed[: rows // 10].mean() < 0.3:
        return np.zeros(small.shape[:2], np.float32)
    labels = np.full(small.shape[:2], cv2.GC_PR_BGD, np.uint8)
    labels[likely & (np.arange(rows)[:, None] < rows * 0.6)] = cv2.GC_PR_FGD
    labels[seed] = cv2.GC_FGD
    labels[int(rows * 0.85) :] = cv2.GC_BGD
    found = _cut(small, labels)
    # Only what hangs together with the top edge is sky.
    count, parts = cv2.connectedComponents(found.astype(np.uint8))
    kept = [part for part in range(1, count) if (parts[: rows // 12] == part).any()]
    return np.isin(parts, kept).astype(np.float32)


def _foliage(small: Pixels) -> Mask:
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV).astype(np.float32)
    green = np.clip(1 - abs(hsv[..., 0] - 50) / 26, 0, 1) * np.clip((hsv[..., 1] - 40) / 60, 0, 1)
    rough = np.clip(_texture(small) / 8, 0.2, 1)
    return np.clip(2 * cv2.blur(green.astype(np.float32), (5, 5)) * rough - 0.2, 0, 1).astype(np.float32)


def _water(small: Pixels, sky: Mask) -> Mask:
    rows = small.shape[0]
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV).astype(np.float32)
    bluish = np.clip(1 - abs(hsv[..., 0] - 103) / 28, 0, 1) * np.clip((hsv[..., 1] - 20) / 50, 0, 1)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across, down = (cv2.blur(abs(cv2.Sobel(grey, cv2.CV_32F, *d)), (9, 9)) for d in ((1, 0), (0, 1)))
    streaked = np.clip((down / (across + 4) - 1.0) * 1.5, 0, 1)
    low = np.clip((np.arange(rows, dtype=np.float32)[:, None] / rows - 0.35) * 5, 0, 1)
    likely = cv2.blur((bluish * (0.6 + 0.6 * streaked) * low).astype(np.float32), (7, 7))
    return (np.clip(likely * 1.5 - 0.2, 0, 1) * (1 - sky)).astype(np.float32)


def _subject(small: Pixels) -> Mask:
    rows, columns = small.shape[:2]
    labels = np.full((rows, columns), cv2.GC_BGD, np.uint8)
    labels[rows // 10 :, columns // 8 : -columns // 8] = cv2.GC_PR_BGD
    labels[rows // 5 : -rows // 8, columns // 4 : -columns // 4] = cv2.GC_PR_FGD
    found = _cut(small, labels)
    y, x = np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j].astype(np.float32)
    middle = np.exp(-((x / 0.5) ** 2 + (y / 0.6) ** 2))
    if not 0.03 < found.mean() < 0.6:
        return middle
    return np.clip(found * 0.85 + 0.25 * middle, 0, 1)
