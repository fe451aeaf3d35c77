// One event stream that carries several topics; it tells what it hears and finds its own way back.
const FIRST_WAIT_S = 0.5;
const LONGEST_WAIT_S = 15;
const SILENCE_MS = 25_000; // the server says something every 10 s

// `now` is the desk's time; `next` is when it is tried again, on this machine's clock.
export type Said =
  | { kind: "change"; topic: string; version: string; slots: Record<string, string> }
  | { kind: "alive"; now: number }
  | { kind: "refused"; topic: string }
  | { kind: "lost"; next: number; failures: number };

export class Stream {
  private source: EventSource | null = null;
  private versions = new Map<string, string>(); // by topic: the address of a page's stream
  private topics: (string | null)[] = []; // the server's names of them, in the same order
  private failures = 0;
  private retry = 0;
  private silence = 0;
  private isLost = false;

  constructor(private readonly tell: (said: Said) => void) {
    addEventListener("online", () => this.open());
    addEventListener("offline", () => this.source && this.lost());
  }

  // Follow these from these versions on; without any, let the connection go. `again`: somebody has just come to look.
  follow(versions: Map<string, string>, again: boolean): void {
    const isLess = [...this.versions.keys()].some((topic) => !versions.has(topic));
    this.versions = new Map(versions);
    if (again || !versions.size) this.open();
    else if (isLess && !this.isLost) this.open();
  }

  get known(): ReadonlyMap<string, string> {
    return this.versions;
  }

  private open(): void {
    clearTimeout(this.retry);
    clearTimeout(this.silence);
    this.source?.close();
    this.source = null;
    if (!this.versions.size) {
      this.isLost = false;
      this.failures = 0;
      return;
    }
    const order = [...this.versions.keys()];
    const query = order.map((topic) => `t=${encodeURIComponent(topic)}&v=${encodeURIComponent(this.versions.get(topic) ?? "")}`).join("&");
    const opened = new EventSource(`/stream?${query}`);
    this.source = opened;
    this.heard(); // a server that takes the connection and says nothing is as good as none
    const on = (name: string, then: (event: MessageEvent<string>) => void): void =>
      opened.addEventListener(name, (event) => {
        if (opened !== this.source) return;
        this.heard();
        then(event as MessageEvent<string>);
      });
    on("topics", ({ data }) => {
      const { topics, now } = JSON.parse(data) as { topics: (string | null)[]; now: number };
      this.topics = topics;
      this.failures = 0;
      this.isLost = false;
      this.tell({ kind: "alive", now });
      order.forEach((topic, at) => topics[at] || this.tell({ kind: "refused", topic }));
    });
    on("beat", ({ data }) => this.tell({ kind: "alive", now: (JSON.parse(data) as { now: number }).now }));
    on("again", () => this.open()); // the server wants to look at the session again
    on("change", ({ lastEventId, data }) => {
      const [id, version = ""] = lastEventId.split(".");
      order.forEach((topic, at) => {
        if (this.topics[at] !== id) return;
        this.versions.set(topic, version);
        this.tell({ kind: "change", topic, version, slots: JSON.parse(data) as Record<string, string> });
      });
    });
    // The browser's own tries would not say when they come, and end at the first refusal.
    opened.addEventListener("error", () => opened === this.source && this.lost());
  }

  private heard(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lost(), SILENCE_MS) as unknown as number;
  }

  private lost(): void {
    this.source?.close();
    this.source = null;
    clearTimeout(this.silence);
    clearTimeout(this.retry);
    this.isLost = true;
    this.failures += 1;
    const wait_s = Math.min(FIRST_WAIT_S * 2 ** (this.failures - 1), LONGEST_WAIT_S) * (0.75 + Math.random() / 2);
    this.retry = setTimeout(() => this.open(), wait_s * 1000) as unknown as number;
    this.tell({ kind: "lost", next: Date.now() + wait_s * 1000, failures: this.failures });
  }
}
