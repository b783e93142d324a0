// Hears the sound of the playback service: connects, connects again when the connection is lost, and says how it goes.
//
//     import { Player } from "/v1/audio/player.js";
//     const player = new Player({ token });
//     await player.start();          // from a click: browsers allow no sound before one
//     player.figures();              // { state, frames, lost, reconnects, underruns, overruns, depth, sampleRate }
//     player.stop();

const HEADER = 16; // sequence, sample rate: 32 bit each; time in microseconds: 64 bit; little-endian
const RETRY = [250, 500, 1000, 2000, 5000]; // milliseconds

export class Player {
    // token: content of the token file; depth: seconds of sound kept ready; url: another service's stream
    constructor({ token, depth = 0.06, url } = {}) {
        this.token = token;
        this.depth = depth;
        this.url = url ?? `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/audio`;
        this.counters = { frames: 0, lost: 0, reconnects: 0, underruns: 0, overruns: 0, depth: 0, played: 0 };
        this.before = { underruns: 0, overruns: 0, played: 0 };
        this.state = "stopped";
        this.failures = 0;
    }

    async start() {
        this.running = true;
        this.connect();
    }

    stop() {
        this.running = false;
        this.state = "stopped";
        clearTimeout(this.retry);
        this.socket?.close();
        this.silence();
    }

    figures() {
        return { state: this.state, sampleRate: this.context?.sampleRate ?? null, ...this.counters };
    }

    connect() {
        this.state = "connecting";
        this.expected = null;
        const socket = new WebSocket(this.url, ["silentmon-audio", `token.${this.token}`]);
        socket.binaryType = "arraybuffer";
        socket.onopen = () => {
            this.failures = 0;
            this.state = "connected";
        };
        socket.onmessage = (event) => this.take(event.data);
        socket.onclose = () => this.lose(socket);
        this.socket = socket;
    }

    lose(socket) {
        if (!this.running || socket !== this.socket) return;
        this.state = "disconnected";
        const wait = RETRY[Math.min(this.failures, RETRY.length - 1)];
        this.failures++;
        this.counters.reconnects++;
        this.retry = setTimeout(() => this.connect(), wait);
    }

    take(buffer) {
        const view = new DataView(buffer);
        const sequence = view.getUint32(0, true);
        const sampleRate = view.getUint32(4, true);
        this.counters.frames++;
        if (this.expected !== null) this.counters.lost += (sequence - this.expected) >>> 0;
        this.expected = (sequence + 1) >>> 0;
        if (this.sampleRate !== sampleRate) this.prepare(sampleRate);
        // What came before the browser plays would only be late.
        if (this.context?.state === "running") this.node.port.postMessage(new Int16Array(buffer, HEADER));
    }

    // One context a sample rate: the browser converts to the card's, with its better filter.
    async prepare(sampleRate) {
        this.sampleRate = sampleRate;
        this.silence();
        const context = new AudioContext({ sampleRate, latencyHint: "interactive" });
        await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
        if (!this.running || this.sampleRate !== sampleRate) return context.close();
        const node = new AudioWorkletNode(context, "silentmon-ring", {
            numberOfInputs: 0,
            outputChannelCount: [2],
            processorOptions: { depth: this.depth },
        });
        node.port.onmessage = (event) => this.note(event.data);
        node.connect(context.destination);
        this.context = context;
        this.node = node;
        await context.resume();
    }

    note({ underruns, overruns, depth, played }) {
        this.counters.underruns = this.before.underruns + underruns;
        this.counters.overruns = this.before.overruns + overruns;
        this.counters.played = this.before.played + played;
        this.counters.depth = depth;
    }

    silence() {
        const { underruns, overruns, played } = this.counters;
        this.before = { underruns, overruns, played };
        if (this.node) this.node.port.onmessage = null;
        this.node?.disconnect();
        this.context?.close();
        this.node = null;
        this.context = null;
    }
}
