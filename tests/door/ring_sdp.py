"""The offers that the stand-in for Ring accepts, and an answer with no media. The one with media is in ring_media.py."""

import re
import secrets


def offer_mistake(offer):
    """What Ring would refuse about the offer, or None."""
    session, *media = re.split(r"^(?=m=)", offer, flags=re.MULTILINE)
    if not session.startswith("v=0"):
        return "not an SDP"
    for section in media:
        directions = re.findall(r"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", section, re.MULTILINE)
        if directions != ["recvonly"]:
            return f"{section.split()[0]} must be recvonly"
    if not any(section.startswith("m=video") and re.search(r"^a=rtpmap:\d+ H264/90000", section, re.MULTILINE | re.I) for section in media):
        return "no H264 video"
    if not all(section.startswith(("m=video", "m=audio")) for section in media):
        return "only video and audio are served"
    if not re.search(r"^a=candidate:", offer, re.MULTILINE):
        return "no candidates: the offer must be complete"
    for attribute in ("ice-ufrag", "ice-pwd", "fingerprint"):
        if not re.search(rf"^a={attribute}:", offer, re.MULTILINE):
            return f"no a={attribute}"
    return None


def answer_without_media(offer):
    """A valid answer to the offer with nobody at the address that it names."""
    _, *media = re.split(r"^(?=m=)", offer, flags=re.MULTILINE)
    mids = [re.search(r"^a=mid:(\S+)", section, re.MULTILINE) for section in media]
    lines = ["v=0", f"o=- {secrets.randbits(62)} 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    if all(mids):
        lines.append("a=group:BUNDLE " + " ".join(mid[1] for mid in mids))
    user, password, fingerprint = secrets.token_hex(4), secrets.token_hex(16), secrets.token_hex(32).upper()
    for section, mid in zip(media, mids):
        kind, codec = ("video", "H264/90000") if section.startswith("m=video") else ("audio", "opus/48000/2")
        types = re.findall(rf"^a=rtpmap:(\d+) {codec}\s*$", section, re.MULTILINE | re.I)
        if not types:  # this medium is refused
            lines += [f"m={kind} 0 UDP/TLS/RTP/SAVPF 0", "c=IN IP4 0.0.0.0", *([f"a=mid:{mid[1]}"] if mid else []), "a=inactive"]
            continue
        parameters = re.search(rf"^a=fmtp:{types[0]} .*$", section, re.MULTILINE)
        lines += [f"m={kind} 9 UDP/TLS/RTP/SAVPF {types[0]}", "c=IN IP4 0.0.0.0", *([f"a=mid:{mid[1]}"] if mid else []), "a=sendonly",
                  "a=rtcp-mux", f"a=rtpmap:{types[0]} {codec}", *([parameters[0].strip()] if parameters else []),
                  f"a=ice-ufrag:{user}", f"a=ice-pwd:{password}",
                  "a=fingerprint:sha-256 " + ":".join(re.findall("..", fingerprint)), "a=setup:passive",
                  "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host", "a=end-of-candidates"]
    return "\r\n".join(lines) + "\r\n"
