// Requests to the server this page came from, and its refusals in words.

const STORED = "oscine-key";

let key = stored();
let asking = null;

/** Something went wrong, in a sentence for the person who listens. */
export class Trouble extends Error {
  constructor(message, { status = 0, code = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** Fetch a path of the server, with a key where one is needed. Throws Trouble, or AbortError when it was stopped. */
export async function request(path, options = {}) {
  for (;;) {
    const sent = key;
    const response = await answer(path, options, sent);
    if (response.ok) return response;
    if (response.status !== 401) throw await refusal(response);
    const trouble = await refusal(response);
    if (key === sent) {
      asking ??= askForKey(sent ? "The server did not take this key." : "").finally(() => (asking = null));
      await asking;
    }
    if (key === sent) throw trouble;
    options.signal?.throwIfAborted();
  }
}

/** Whether the error only says that somebody pressed stop. */
export const stopped = (error) => error?.name === "AbortError";

/** The warnings of an answer as one text; empty without any. */
export const warnings = (response) => decoded(response.headers.get("x-oscine-warnings") ?? "");

/** Ask a question that is answered by yes or no. */
export function confirmed(question, yes) {
  const dialog = document.getElementById("ask");
  document.getElementById("ask-text").textContent = question;
  document.getElementById("ask-yes").textContent = yes;
  return opened(dialog);
}

async function answer(path, options, bearer) {
  const headers = new Headers(options.headers);
  if (bearer) headers.set("Authorization", `Bearer ${bearer}`);
  try {
    return await fetch(new URL(path, document.baseURI), { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (stopped(error)) throw error;
    throw new Trouble("The server cannot be reached. See that it is running, then try again.");
  }
}

async function refusal(response) {
  let error = null;
  try {
    error = (await response.json()).error;
  } catch {
    // What stands between this page and the server may answer without the server's words.
  }
  const said = typeof error?.message === "string" && error.message;
  let message = said || `The server answered with status ${response.status}.`;
  const wait = Number(response.headers.get("retry-after"));
  if (wait > 0 && (response.status === 429 || response.status === 503)) {
    message += ` Try again in ${wait === 1 ? "a second" : `${Math.ceil(wait)} seconds`}.`;
  }
  return new Trouble(message, { status: response.status, code: error?.code ?? null });
}

async function askForKey(said) {
  const dialog = document.getElementById("key-dialog");
  const field = document.getElementById("key");
  field.value = "";
  document.getElementById("key-said").textContent = said;
  if (!(await opened(dialog))) return;
  key = field.value.trim() || key;
  field.value = "";
  try {
    sessionStorage.setItem(STORED, key);
  } catch {
    // Without storage the key lasts as long as the page.
  }
}

function opened(dialog) {
  const form = dialog.querySelector("form");
  const back = document.activeElement;
  return new Promise((resolve) => {
    const done = new AbortController();
    const end = (yes) => {
      done.abort();
      dialog.close();
      back?.focus?.();
      resolve(yes);
    };
    form.addEventListener("submit", (event) => (event.preventDefault(), end(true)), { signal: done.signal });
    form.querySelector("[value=cancel]").addEventListener("click", () => end(false), { signal: done.signal });
    dialog.addEventListener("cancel", (event) => (event.preventDefault(), end(false)), { signal: done.signal });
    dialog.showModal();
  });
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function stored() {
  try {
    return sessionStorage.getItem(STORED) ?? "";
  } catch {
    return "";
  }
}
