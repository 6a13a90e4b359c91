// The page of the door: presses as they come, a picture of each, and live video on one tap.
//
// There is one stage. It shows a press or, while somebody is watching, the live video of a device. The list of presses and the list of
// doors put things on it. The server's answers are described in README.md.

const SHOWN = 50;                  // presses in the list
const HOLD = 25;                   // seconds that the server holds a request for news, if it can
const PICTURE_WITHIN = 15 * 60e3;  // ms after a press in which its picture may still come
const FIRST_FRAME_WITHIN = 15e3;   // ms from Ring's answer to the first frame
const QUIET = 2500, TICK = 250;    // ms without a frame that end a session; how often that is looked at
const STUN = "stun:stun.l.google.com:19302";

// What the stage says in each state, and what its button then does.
const STATES = {
    idle: { text: () => "", button: "Live video" },
    connecting: { text: name => `Connecting to ${name}…`, button: "Stop" },
    live: { text: () => "Live video is on.", button: "Stop" },
    ended: { text: () => "Live video has ended.", button: "Watch again" },
    offline: { text: name => `${name} is offline. Check its power and Wi-Fi.`, button: "Try again" },
    busy: { text: name => `Someone else is watching ${name}. Only one person can watch at a time.`, button: "Try again" },
    missing: { text: name => `${name} is no longer in the connected Ring account.`, button: "Update the list of doors" },
    limit: { text: (_, wait) => `Too many requests to Ring. Try again in ${wait || 60} seconds.`, button: "Try again" },
    denied: {
        text: () => "Ring refuses access to this account. In the Ring app, remove this app and add it again. Then try again.",
        button: "Try again",
    },
    timeout: { text: name => `${name} did not answer in time.`, button: "Try again" },
    failed: {
        text: (_, why = "") => `Live video does not work at the moment. ${why.charAt(0).toUpperCase() + why.slice(1)}`,
        button: "Try again",
    },
};

const $ = id => document.getElementById(id);
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));

// ---- the server ----

class SignedOut extends Error {}

function connection(state, text = "") {
    if (document.body.dataset.connection === "signed-out")
        return;
    document.body.dataset.connection = state;
    if ($("connection").textContent !== text)
        $("connection").textContent = text;
}

function signedOut() {
    connection("signed-out", "Your sign-in has expired. ");
    const link = document.createElement("a");
    link.href = "?";
    link.textContent = "Sign in";
    link.addEventListener("click", event => { // this press is shown again after signing in
        event.preventDefault();
        location.reload();
    });
    if (!$("connection").querySelector("a"))
        $("connection").append(link);
    unwatch();
    return new SignedOut();
}

const isSignedOut = () => document.body.dataset.connection === "signed-out";

// fetch with a time limit. Throws SignedOut if the session is over; a sign-in of the web server's own answers with a redirect.
async function ask(query, { within = 20e3, controller = new AbortController(), ...options } = {}) {
    const timer = setTimeout(() => controller.abort(), within);
    try {
        const answer = await fetch(query, { cache: "no-store", redirect: "manual", signal: controller.signal, ...options });
        if (answer.status === 401 || answer.type === "opaqueredirect")
            throw signedOut();
        const body = await answer.text();
        return { status: answer.status, headers: answer.headers, body };
    } finally {
        clearTimeout(timer);
    }
}

async function askJSON(query, options) {
    const answer = await ask(query, options);
    if (answer.status !== 200)
        throw new Error(`status ${answer.status}`);
    return JSON.parse(answer.body);
}

// ---- devices ----

const devices = new Map(); // id → {id, name, online, seconds}
const nameOf = id => devices.get(id)?.name || "Unknown door";

async function loadDevices() {
    let news;
    try {
        news = await askJSON("?/devices");
    } catch {
        return; // the loop that asks for presses reports it
    }
    devices.clear();
    for (const device of news.devices)
        devices.set(device.id, device);
    const list = $("doors"), items = news.devices.map(doorItem);
    if (items.length !== list.children.length || items.some((item, place) => item !== list.children[place])) // else the focus stays
        list.replaceChildren(...items);
    const missing = news.accounts ? "This Ring account has no doors." : "No Ring account is connected. In the Ring app, add this app to connect yours.";
    $("devices-text").textContent = news.error || (devices.size ? "" : missing);
    for (const press of presses.values())
        repaint(press);
    paintStage();
}

function doorItem(device) {
    const old = [...$("doors").children].find(item => item.dataset.device === device.id);
    const item = old || $("door").content.cloneNode(true).firstElementChild;
    item.dataset.device = device.id;
    item.dataset.online = device.online;
    item.querySelector("b").textContent = device.name;
    item.querySelector(".online").textContent = device.online ? "Online" : "Offline";
    liveButton(item, device.id);
    return item;
}

function liveButton(item, device, press) {
    const button = item.querySelector("button");
    button.setAttribute("aria-label", `Live video: ${nameOf(device)}`);
    button.onclick = event => {
        if (event.detail > 1) // the second click of a double click
            return;
        if (live?.device !== device) {
            if (!press)
                clearHash();
            show({ device, seq: press?.seq });
            start(device);
        }
        $("go").focus({ preventScroll: true });
        $("stage").scrollIntoView({ block: "nearest" });
    };
}

// ---- presses ----

const presses = new Map(); // seq → {seq, device, at, picture, item}
let next = null, hold = false;
const newest = () => Math.max(...presses.keys());

function add(event) {
    const at = event.pressed_at || Date.parse(event.received_at);
    const press = { seq: event.seq, device: event.device, at, picture: event.picture };
    press.item = $("press").content.cloneNode(true).firstElementChild;
    press.item.dataset.seq = press.seq;
    press.item.querySelector("a").href = `#seq=${press.seq}`;
    const after = [...$("presses").children].find(item => item.dataset.seq < press.seq);
    $("presses").insertBefore(press.item, after || null);
    presses.set(press.seq, press);
    repaint(press);
    if (press.picture === "pending")
        awaitPicture(press);
}

function forgetOldest() {
    while (presses.size > SHOWN) {
        const oldest = Math.min(...presses.keys());
        presses.get(oldest).item.remove();
        presses.delete(oldest);
    }
}

function repaint(press) {
    const { item } = press;
    item.dataset.picture = press.picture;
    item.querySelector("b").textContent = nameOf(press.device);
    paintTime(item.querySelector("time"), press.at);
    paintPicture(item.querySelector("img"), press);
    liveButton(item, press.device, press);
    if (stage.seq === press.seq)
        paintStage();
}

function paintTime(element, at) {
    element.dateTime = new Date(at).toISOString();
    element.textContent = when(at);
}

function paintPicture(image, press) {
    const there = press?.picture === "yes";
    if (there && image.dataset.seq !== String(press.seq)) {
        image.onerror = () => { image.hidden = true; };
        image.src = `?/picture&seq=${press.seq}`;
        image.dataset.seq = press.seq;
    } else if (!there) {
        image.removeAttribute("src");
        delete image.dataset.seq;
    }
    image.hidden = !there;
}

async function awaitPicture(press) {
    let pause = 1500;
    do {
        await sleep(pause);
        if (document.hidden)
            continue;
        const answer = await ask(`?/picture&seq=${press.seq}`, { cache: "default" }).catch(() => null);
        if (answer?.status === 200)
            press.picture = "yes";
        pause = Math.min(pause * 1.3, 20e3);
    } while (press.picture === "pending" && !isSignedOut() && Date.now() < press.at + PICTURE_WITHIN);
    if (press.picture === "pending")
        press.picture = "none";
    repaint(press);
}

const language = navigator.language.startsWith("en") ? navigator.language : "en-GB"; // the page is in English, its times too
const relative = new Intl.RelativeTimeFormat(language, { numeric: "always", style: "short" });
const clock = new Intl.DateTimeFormat(language, { hour: "numeric", minute: "2-digit" });
const date = new Intl.DateTimeFormat(language, { weekday: "short", day: "numeric", month: "short" });

function when(at) {
    const minutes = Math.floor((Date.now() - at) / 60e3);
    if (minutes < 1)
        return `Just now, ${clock.format(at)}`;
    if (minutes < 60)
        return `${relative.format(-minutes, "minute")}, ${clock.format(at)}`;
    const today = new Date().toDateString() === new Date(at).toDateString();
    return `${today ? "Today" : date.format(at)}, ${clock.format(at)}`;
}

function took(news) {
    const first = next === null;
    const fresh = news.events.filter(event => !presses.has(event.seq));
    fresh.forEach(add);
    forgetOldest();
    next = news.next;
    hold = news.hold;
    $("none").textContent = presses.size ? "" : "Nobody has pressed yet. A press appears here at once.";
    if (first)
        open();
    if (first || !fresh.length)
        return;
    const latest = presses.get(newest());
    latest.item.classList.add("fresh");
    $("news").textContent = `${nameOf(latest.device)}: someone is at the door, ${clock.format(latest.at)}`;
    if (!devices.has(latest.device))
        loadDevices();
    if (!live) {
        clearHash();
        show(latest);
    }
}

// Asks for presses for as long as the page is visible: one request after the other, each held by the server if it can, else one a second.
let watching = null; // the AbortController of the loop

async function watch() {
    if (watching || document.hidden || isSignedOut())
        return;
    const mine = watching = new AbortController();
    let failures = 0;
    while (watching === mine) {
        const began = performance.now();
        const query = next === null ? "?/events" : `?/events&after=${next}${hold ? `&wait=${HOLD}` : ""}`;
        let pause = 1000;
        // Each request has a controller of its own, which its time limit aborts too.
        const controller = new AbortController(), stop = () => controller.abort();
        mine.signal.addEventListener("abort", stop);
        try {
            const first = next === null;
            took(await askJSON(query, { controller, within: (HOLD + 15) * 1e3 }));
            failures = 0;
            connection("ok");
            pause = first ? 0 : pause - (performance.now() - began);
        } catch (error) {
            if (watching !== mine || error instanceof SignedOut)
                return;
            pause = Math.min(30e3, 1000 * 2 ** failures++);
            connection("lost", "No connection to the server. Trying again…");
        } finally {
            mine.signal.removeEventListener("abort", stop);
        }
        await sleep(pause);
    }
}

function unwatch() {
    watching?.abort();
    watching = null;
}

function rewatch() {
    unwatch();
    watch();
}

// ---- the stage ----

const stage = { device: null, seq: undefined, state: "idle", detail: "" };

function show({ device, seq }) {
    if (live)
        end();
    Object.assign(stage, { device, seq, state: "idle", detail: "" });
    paintStage();
}

function setState(state, detail = "") {
    Object.assign(stage, { state, detail });
    paintStage();
}

function paintStage() {
    const { device, seq, state, detail } = stage, press = presses.get(seq);
    const box = $("stage");
    box.hidden = device === null;
    if (device === null)
        return;
    Object.assign(box.dataset, { state, device, seq: seq ?? "" });
    $("stage-name").textContent = nameOf(device);
    $("stage-time").textContent = "";
    if (press)
        paintTime($("stage-time"), press.at);
    paintPicture($("picture"), press);
    $("picture").alt = press ? `Picture of the press at ${nameOf(device)}` : "";
    $("note").textContent = !press ? "" : { pending: "The picture is on its way…", none: "No picture" }[press.picture] || "";
    const text = STATES[state].text(nameOf(device), detail).trim();
    if ($("stage-text").textContent !== text)
        $("stage-text").textContent = text;
    $("go").textContent = STATES[state].button;
    for (const item of $("presses").children)
        item.querySelector("a").setAttribute("aria-current", item.dataset.seq === String(seq));
}

function clearHash() {
    history.replaceState(null, "", location.pathname);
}

// Shows the press that the address names (#seq=12), else the newest.
function open() {
    const seq = Number(/^#(?:seq=)?(\d+)$/.exec(location.hash)?.[1]);
    if (seq && !presses.has(seq))
        $("status").textContent = "That press is older than those shown here.";
    if (presses.size)
        show(presses.get(seq) || presses.get(newest()));
}

// ---- live video ----

let live = null; // the session: {id, device, pc, asked, quiet, patience, until, timer}
let farewell = Promise.resolve(); // kept when the server knows of the end of the last one

function randomId() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");
}

function forget(id) {
    return fetch(`?/live/${id}`, { method: "DELETE", keepalive: true }).catch(() => {});
}

// Ends the session.
function end(state = "idle", detail = "") {
    const session = live;
    live = null;
    if (!session)
        return;
    clearInterval(session.timer);
    session.pc?.close();
    $("video").srcObject = null;
    $("screen").style.aspectRatio = "";
    if (document.fullscreenElement)
        document.exitFullscreen();
    setState(state, detail);
    if (session.asked)
        farewell = forget(session.id);
}

async function start(device) {
    end();
    const session = live = { id: randomId(), device, asked: false, quiet: 0 };
    setState("connecting");
    try {
        await farewell; // to the session before: a device has one at a time
        if (live === session)
            await connect(session);
    } catch (error) {
        if (live === session)
            end(...(error instanceof Refused ? [error.state, error.detail] : ["failed", error instanceof SignedOut ? "" : "No connection."]));
        if (["offline", "missing"].includes(error.state))
            loadDevices();
    }
}

class Refused extends Error {
    constructor(state, detail) {
        super(state);
        Object.assign(this, { state, detail });
    }
}

async function connect(session) {
    const pc = session.pc = new RTCPeerConnection({ iceServers: [{ urls: STUN }] });
    const stream = new MediaStream(), video = $("video"); // one stream for both tracks: a second one would replace the first
    pc.ontrack = ({ track }) => stream.addTrack(track);
    pc.onconnectionstatechange = () => {
        if (live === session && pc.connectionState === "failed")
            end(stage.state === "live" ? "ended" : "failed", "The network here may block video.");
    };
    pc.addTransceiver("video", { direction: "recvonly" });
    pc.addTransceiver("audio", { direction: "recvonly" });
    const offer = await completeOffer(pc);
    if (live !== session)
        return;
    if (!/^a=rtpmap:\d+ H264\//m.test(offer))
        throw new Refused("failed", "This browser cannot play H.264 video.");
    session.asked = true;
    const answer = await ask(`?/live/${encodeURIComponent(session.device)}&id=${session.id}`,
        { method: "POST", headers: { "Content-Type": "application/sdp" }, body: offer, within: 60e3 });
    if (live !== session) { // stopped meanwhile: the DELETE may have been there before the POST
        forget(session.id);
        return;
    }
    if (answer.status !== 201)
        throw refusal(answer);
    video.muted = true;
    sound();
    video.srcObject = stream;
    video.play().catch(() => {}); // ended before it began
    await pc.setRemoteDescription({ type: "answer", sdp: answer.body });
    const seconds = Number(answer.headers.get("X-Seconds")) || devices.get(session.device)?.seconds || 60;
    session.until = performance.now() + seconds * 1e3;
    session.patience = FIRST_FRAME_WITHIN;
    session.timer = setInterval(() => tick(session), TICK);
    const frame = () => {
        if (live !== session)
            return;
        session.quiet = 0;
        session.patience = QUIET;
        if (stage.state !== "live") {
            setState("live");
            tick(session);
        }
        video.requestVideoFrameCallback(frame);
    };
    video.requestVideoFrameCallback(frame);
}

function refusal(answer) {
    let reason = {};
    try {
        reason = JSON.parse(answer.body);
    } catch { /* an answer of the web server's own */ }
    const state = Object.hasOwn(STATES, reason.error) ? reason.error : "failed";
    return new Refused(state, state === "limit" ? answer.headers.get("Retry-After") : reason.message);
}

// Quiet time is counted in ticks, so that a browser that was busy does not take its own delay for the end. A page in the background gets no
// frames: its session ends soon, which spares the battery of a doorbell that nobody looks at.
function tick(session) {
    const left = Math.max(0, Math.ceil((session.until - performance.now()) / 1e3));
    $("stage").dataset.seconds = left;
    $("seconds").textContent = `${left} s`;
    session.quiet += TICK;
    if (session.quiet >= session.patience)
        end(stage.state === "live" ? "ended" : "failed", "No video came. The network here may block it.");
}

// An offer with its candidates, as Ring takes no later ones. An address of this machine and one that a STUN server has seen are enough;
// a STUN server that does not answer is waited for half a second.
async function completeOffer(pc) {
    await pc.setLocalDescription(await pc.createOffer());
    await new Promise(resolve => {
        setTimeout(resolve, 2000);
        pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve();
        pc.onicecandidate = ({ candidate }) => {
            if (candidate?.type === "srflx")
                resolve();
            else if (candidate?.type === "host")
                setTimeout(resolve, 500);
        };
        pc.onicegatheringstatechange();
    });
    return pc.localDescription.sdp;
}

function sound() {
    $("sound").textContent = $("video").muted ? "Unmute" : "Mute";
}

function go(event) {
    if (event.detail > 1)
        return;
    if (live)
        end();
    else if (stage.state === "missing")
        loadDevices().then(() => setState("idle"));
    else
        start(stage.device);
}

// ---- the page ----

function startPage() {
    if (location.search) // it has had its effect, which a reload must not repeat
        history.replaceState(null, "", location.pathname + location.hash);
    $("go").onclick = go;
    $("sound").onclick = () => {
        $("video").muted = !$("video").muted;
        sound();
    };
    $("full").hidden = !document.fullscreenEnabled;
    $("full").onclick = () => document.fullscreenElement ? document.exitFullscreen() : $("screen").requestFullscreen();
    $("video").onresize = ({ target: { videoWidth, videoHeight } }) => {
        $("screen").style.aspectRatio = videoWidth ? `${videoWidth} / ${videoHeight}` : "";
    };
    $("logout").onsubmit = () => end(); // afterwards there is nobody who may
    addEventListener("pagehide", () => end("ended"));
    addEventListener("hashchange", open);
    addEventListener("online", rewatch);
    document.addEventListener("visibilitychange", () => {
        if (document.hidden)
            return unwatch();
        loadDevices();
        watch();
    });
    setInterval(() => {
        if (document.hidden || isSignedOut())
            return;
        for (const press of presses.values())
            paintTime(press.item.querySelector("time"), press.at);
        paintStage();
        loadDevices();
    }, 60e3);
    loadDevices().then(watch);
}

const signin = $("signin");
if (signin)
    signin.action = "?/login" + location.hash; // the press that was to be shown is kept through the redirect
else
    startPage();
