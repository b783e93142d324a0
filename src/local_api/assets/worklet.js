// Plays 16-bit stereo frames in the browser's audio thread: a ring with a depth to start from, silence where it runs
// dry, and a read position that gives way by 0.1 % to keep the depth where the clocks of sender and browser differ (1 % where
// too much waits).

const CAPACITY = 1 << 16;
const REPORT_EVERY = 0.25; // seconds
const LATE = 1; // seconds

class Ring extends AudioWorkletProcessor {
    constructor(options) {
        super();
        const seconds = options.processorOptions.depth;
        this.target = Math.min(Math.round(seconds * sampleRate), CAPACITY / 4);
        this.most = Math.min(this.target * 4, CAPACITY / 2);
        this.left = new Float32Array(CAPACITY);
        this.right = new Float32Array(CAPACITY);
        this.written = 0;
        this.position = 0;
        this.waiting = true;
        this.dryAt = null;
        this.mean = this.target;
        this.step = 1;
        this.underruns = 0;
        this.overruns = 0;
        this.played = 0;
        this.reportAt = 0;
        this.port.onmessage = (event) => this.write(event.data);
    }

    write(samples) {
        if (this.dryAt !== null) {
            // What comes long after is another session, not a late frame.
            if (currentTime - this.dryAt < LATE) this.underruns++;
            this.dryAt = null;
        }
        for (let n = 0; n < samples.length; n += 2) {
            const at = this.written % CAPACITY;
            this.left[at] = samples[n] / 32768;
            this.right[at] = samples[n + 1] / 32768;
            this.written++;
        }
        if (this.written - this.position > this.most) {
            this.overruns++;
            this.position = this.written - this.target;
        }
    }

    process(inputs, outputs) {
        const [left, right] = outputs[0];
        const depth = this.written - this.position;
        if (this.waiting && depth >= this.target) {
            this.waiting = false;
        }
        if (!this.waiting) {
            this.follow(depth);
            this.read(left, right);
        }
        if (currentTime >= this.reportAt) {
            this.reportAt = currentTime + REPORT_EVERY;
            this.port.postMessage({
                underruns: this.underruns,
                overruns: this.overruns,
                depth: (this.written - this.position) / sampleRate,
                played: this.played,
            });
        }
        return true;
    }

    follow(depth) {
        this.mean += (depth - this.mean) / 500;
        const excess = this.mean - this.target;
        if (Math.abs(excess) > this.target / 3) {
            const share = Math.abs(excess) > this.target ? 0.01 : 0.001;
            this.step = excess > 0 ? 1 + share : 1 - share;
        } else if (Math.abs(excess) < this.target / 10 && this.step !== 1) {
            this.step = 1;
            this.position = Math.round(this.position);
        }
    }

    read(left, right) {
        for (let n = 0; n < left.length; n++) {
            const whole = Math.floor(this.position);
            if (whole + 1 >= this.written) {
                this.dryAt = currentTime;
                this.waiting = true;
                this.mean = this.target;
                return;
            }
            const part = this.position - whole;
            const at = whole % CAPACITY;
            const next = (whole + 1) % CAPACITY;
            left[n] = this.left[at] + part * (this.left[next] - this.left[at]);
            right[n] = this.right[at] + part * (this.right[next] - this.right[at]);
            this.position += this.step;
            this.played++;
        }
    }
}

registerProcessor("silentmon-ring", Ring);
