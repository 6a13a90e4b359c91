"""The live video of the stand-in for Ring: a moving picture as H.264 and a tone as Opus."""

import array
import asyncio
import contextlib
import fractions
import math
import re
import time

import aioice.ice
import aiortc
import av

WIDTH, HEIGHT = 640, 360
FRAME_SECONDS = 1 / 15
RATE, SAMPLES = 48000, 960  # of the tone: 20 ms, which is what aiortc's Opus encoder takes
TONE = array.array("h", (int(6000 * math.sin(2 * math.pi * 400 * i / RATE)) for i in range(SAMPLES))).tobytes()  # 8 whole periods

own_addresses = aioice.ice.get_host_addresses
# aiortc leaves out loopback, which is all that some machines have.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: own_addresses(use_ipv4, use_ipv6) + ["127.0.0.1"]


class Pace:
    """Waits until it is time for the next frame."""

    def __init__(self, seconds):
        self.seconds, self.number, self.start = seconds, -1, time.monotonic()

    async def next(self):
        self.number += 1
        await asyncio.sleep(self.start + self.number * self.seconds - time.monotonic())
        return self.number


class Camera(aiortc.VideoStreamTrack):
    """A bright bar that moves to the right over a dark picture."""

    def __init__(self):
        super().__init__()
        self.pace = Pace(FRAME_SECONDS)

    async def recv(self):
        number = await self.pace.next()
        frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane, dark, bright in zip(frame.planes, (50, 140, 120), (200, 100, 150)):
            bar = plane.width // 8
            row = bytes([bright]) * bar + bytes([dark]) * (plane.width - bar)
            shift = number * bar // 8 % plane.width
            row = row[-shift:] + row[:-shift] if shift else row
            plane.update(row.ljust(plane.line_size, b"\0") * plane.height)
        frame.pts, frame.time_base = int(number * FRAME_SECONDS * 90000), fractions.Fraction(1, 90000)
        return frame


class Tone(aiortc.mediastreams.AudioStreamTrack):
    def __init__(self):
        super().__init__()
        self.pace = Pace(SAMPLES / RATE)

    async def recv(self):
        number = await self.pace.next()
        frame = av.AudioFrame("s16", "mono", SAMPLES)
        frame.planes[0].update(TONE)
        frame.sample_rate, frame.pts, frame.time_base = RATE, number * SAMPLES, fractions.Fraction(1, RATE)
        return frame


def new_peer():
    return aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))


async def answer_with_media(offer):
    """Returns (the answer, a function that ends its media). ValueError: the offer is not usable."""
    peer = new_peer()
    try:
        video = peer.addTransceiver(Camera(), direction="sendonly")
        video.setCodecPreferences([codec for codec in aiortc.RTCRtpSender.getCapabilities("video").codecs if codec.mimeType == "video/H264"])
        if re.search(r"^m=audio", offer, re.MULTILINE):
            peer.addTransceiver(Tone(), direction="sendonly")
        await peer.setRemoteDescription(aiortc.RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
    except Exception as error:  # of whatever kind: aiortc checks little, and stumbles over the rest
        with contextlib.suppress(Exception):
            await peer.close()
        raise ValueError(f"aiortc cannot answer this offer: {error!r}") from error
    return peer.localDescription.sdp, peer.close
