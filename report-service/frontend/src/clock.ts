// What time it is at the desk. In a simulated world that is not what this machine's clock says: the server tells
// what was shown at some real instant, and how fast it runs.
const [real = 0, shown = 0, speed = 1] = (document.documentElement.dataset["course"] ?? "").split(" ").map(Number);

export function deskNow(): number {
  return speed > 0 && shown ? shown + (Date.now() - real) * speed : Date.now();
}

// How often to look at it.
export const tickMs = Math.max(1_000, Math.min(20_000, 20_000 / speed));
