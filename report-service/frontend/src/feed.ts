// Where a page hears what changes: from the worker that all pages of this browser share; without one, from a
// stream of its own. A hidden page lets go, and catches up when it is looked at again.
import type { Asked } from "./shared";
import { Stream, type Said } from "./stream";

export interface Following {
  topic: string;
  version: () => string;
  hear: (said: Said) => void;
}

interface Way {
  join: () => void;
  leave: () => void;
}

const LOOK_MS = 10_000;
const SILENCE_MS = 60_000; // longer than the worker ever is without a word

export function hearWhileVisible(page: Following): void {
  const look = (): void => (document.hidden ? way.leave() : way.join());
  let way = shared(page, () => {
    way = alone(page); // no worker can be started here
    look();
  });
  look();
  document.addEventListener("visibilitychange", look);
  addEventListener("pagehide", () => way.leave());
  addEventListener("pageshow", (event) => event.persisted && look());
}

function shared(page: Following, failed: () => void): Way {
  const address = document.documentElement.dataset["worker"];
  if (!address || typeof SharedWorker === "undefined") return alone(page);
  let port: MessagePort;
  let heard = Date.now();
  const ask = (is: Asked["is"]): void => port.postMessage({ is, topic: page.topic, version: page.version() });
  const connect = (): void => {
    const worker = new SharedWorker(address, { name: "wattbook" });
    worker.onerror = failed;
    port = worker.port;
    port.onmessage = ({ data }: MessageEvent<Said>) => {
      heard = Date.now();
      page.hear(data);
      if (data.kind === "alive" && !document.hidden) ask("here");
    };
  };
  connect();
  setInterval(() => {
    if (document.hidden || Date.now() - heard < SILENCE_MS) return;
    page.hear({ kind: "lost", next: Date.now() + LOOK_MS, failures: 1 });
    connect();
    ask("join");
  }, LOOK_MS);
  return {
    join: () => {
      heard = Date.now();
      ask("join");
    },
    leave: () => ask("leave"),
  };
}

function alone(page: Following): Way {
  const stream = new Stream(page.hear);
  return {
    join: () => stream.follow(new Map([[page.topic, page.version()]]), true),
    leave: () => stream.follow(new Map(), false),
  };
}
