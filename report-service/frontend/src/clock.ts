// What time it is at the desk, which this machine's clock need not say: the server tells it with every beat. Until
// the first one, in a simulated world, what was shown at some real instant and how fast it runs.
const [real = 0, shown = 0, speed = 1] = (document.documentElement.dataset["course"] ?? "").split(" ").map(Number);

let beat: { now: number; at: number } | null = null;

export function deskSays(now: number): void {
  beat = { now, at: performance.now() };
}

export function deskNow(): number {
  if (beat) return beat.now + (performance.now() - beat.at) * (shown ? speed : 1);
  return speed > 0 && shown ? shown + (Date.now() - real) * speed : Date.now();
}

// How often to look at it.
export const tickMs = Math.max(1_000, Math.min(20_000, 20_000 / speed));

// As it is written on the exchange's wall clock, with its zone.
const wall = new Intl.DateTimeFormat("en-GB", {
  timeZone: "Europe/Berlin",
  timeStyle: "medium",
});
const zone = new Intl.DateTimeFormat("en-GB", { timeZone: "Europe/Berlin", timeZoneName: "short" });

export function wallTime(instant: number): string {
  const name = zone.formatToParts(instant).find((part) => part.type === "timeZoneName")?.value ?? "";
  return `${wall.format(instant)} ${name}`;
}
