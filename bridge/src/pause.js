/** How long to wait before RunPod is asked again. */

/** Seconds between two questions at the least; so late at most is the first sound of a job that answers at once. */
export const FIRST = 0.1;

/**
 * Seconds until the next question, when `elapsed` have passed and `polls` questions are left until `horizon`: intervals
 * that grow by the same ratio use up exactly those, so the added wait is the same small share of any time.
 */
export function pause(elapsed, polls, horizon) {
  const from = Math.max(elapsed, FIRST);
  const grown = from * ((horizon / from) ** (1 / Math.max(polls, 1)) - 1);
  return Math.min(Math.max(FIRST, grown), Math.max(FIRST, horizon - elapsed));
}

/** Wait; throws what the signal says when the client leaves. */
export async function sleep(seconds, signal) {
  await scheduler.wait(Math.max(0, seconds * 1000), { signal });
}
