/** How long to wait before RunPod is asked again. */

/** Seconds between two questions at the least; so late at most is the first sound of a job that answers at once. */
export const FIRST = 0.1;

/** Seconds between two questions at the most for a whole file: RunPod keeps the result of a /runsync for a minute. */
const LONGEST = 45;

/**
 * Seconds until the next question, when `elapsed` have passed and `polls` questions are left until `horizon`: intervals
 * that grow by the same ratio use up exactly those, so the added wait is the same small share of any time. Of a `whole`
 * file nobody hears the beginning; there all are equally long.
 */
export function pause(elapsed, polls, horizon, whole) {
  const left = Math.max(FIRST, horizon - elapsed);
  const share = 1 / Math.max(polls, 1);
  const from = Math.max(elapsed, FIRST);
  const wanted = whole ? Math.min(left * share, LONGEST) : from * ((horizon / from) ** share - 1);
  return Math.min(Math.max(FIRST, wanted), left);
}

/** Wait; throws what the signal says when the client leaves. */
export async function sleep(seconds, signal) {
  await scheduler.wait(Math.max(0, seconds * 1000), { signal });
}
