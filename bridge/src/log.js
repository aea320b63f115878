/** One line of JSON for each request when it is over: no text, no key, no address. */
export function log({ id, pathname, request, facts, started }, status) {
  if (status < 500 && request.method !== "POST") return;
  const { streams, ...told } = facts;
  const route = pathname.slice(0, 40);
  console.log(
    JSON.stringify({
      event: "request",
      request_id: id,
      method: request.method,
      route,
      status,
      ...told,
      ms: Date.now() - started,
    }),
  );
}
