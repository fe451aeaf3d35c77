// A shared worker: one stream for all pages of this browser that are looked at, whatever their number.
import { Stream, type Said } from "./stream";

// From a page: what it shows and knows. It answers every sign of life, so that who crashed is forgotten.
export interface Asked {
  is: "here" | "join" | "leave";
  topic: string;
  version: string;
}

const GATHER_MS = 60; // a change of tabs is a leave and a join
const FORGET_MS = 40_000;

const pages = new Map<MessagePort, { topic: string; heard: number }>();
const joined = new Map<string, string>();
let soon = 0;
let lost: Said | null = null;

const stream = new Stream((said) => {
  if (said.kind === "lost") lost = said;
  if (said.kind === "alive") lost = null;
  for (const [port, page] of pages) {
    if (Date.now() - page.heard > FORGET_MS) {
      pages.delete(port);
      gather();
    } else if (!("topic" in said) || said.topic === page.topic) port.postMessage(said);
  }
});

// What is followed is what the pages show; one that knows less than is known here is caught up.
function gather(): void {
  soon ||= setTimeout(() => {
    soon = 0;
    const wanted = new Map<string, string>();
    for (const { topic } of pages.values()) wanted.set(topic, joined.get(topic) ?? stream.known.get(topic) ?? "");
    stream.follow(wanted, joined.size > 0);
    joined.clear();
  }, GATHER_MS) as unknown as number;
}

function join(port: MessagePort, topic: string, version: string): void {
  pages.set(port, { topic, heard: Date.now() });
  const other = joined.get(topic);
  joined.set(topic, other === undefined || other === version ? version : ""); // "": send all of it
  if (lost) port.postMessage(lost);
  gather();
}

addEventListener("connect", (event) => {
  const port = (event as MessageEvent).ports[0];
  if (!port) return;
  port.onmessage = ({ data: { is, topic, version } }: MessageEvent<Asked>) => {
    const page = pages.get(port);
    if (is === "leave") {
      pages.delete(port);
      gather();
    } else if (is === "here" && page) page.heard = Date.now();
    else join(port, topic, version);
  };
});
