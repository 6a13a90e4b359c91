#!/usr/bin/env python3
"""A viewer of live video without a browser. Prints a complete recvonly offer as JSON, reads the answer as JSON, and prints what it has
received: {"video": [width, height], "moving": true, "audio": true}. Ends when its stdin is closed."""

import asyncio
import json
import os
import re
import sys

import aiortc
from ring_media import new_peer

FRAMES = 20
BRIGHTER = 60  # more than what compression changes
PATIENCE = int(os.environ.get("PATIENCE", "120"))


def receive(track):
    return asyncio.wait_for(track.recv(), PATIENCE)


async def view():
    peer, tracks = new_peer(), {}
    peer.on("track", lambda track: tracks.update({track.kind: track}))
    for kind in ("video", "audio"):
        peer.addTransceiver(kind, direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    # Without header extensions: aiortc gives the two media the same numbers for different ones, and fails to read them.
    print(json.dumps(re.sub(r"(?m)^a=extmap:.*\n", "", peer.localDescription.sdp)), flush=True)
    answer = json.loads(sys.stdin.readline())
    await peer.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
    first, *others = [await receive(tracks["video"]) for _ in range(FRAMES)]
    moving = any(abs(a - b) > BRIGHTER for frame in others for a, b in zip(bytes(first.planes[0]), bytes(frame.planes[0])))
    audio = any([any(bytes((await receive(tracks["audio"])).planes[0])) for _ in range(FRAMES)])
    print(json.dumps({"video": [first.width, first.height], "moving": moving, "audio": audio}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await peer.close()


asyncio.run(view())
