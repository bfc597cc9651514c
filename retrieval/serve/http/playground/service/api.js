/** Calls of the service. Addresses are relative, so that a proxy may put the page under a prefix. */

import { askForKey, currentKey } from "./key.js";
import { readEvents } from "./sse.js";

/** What the service, or the way to it, answered instead of a result. */
export class ApiError extends Error {
  constructor(status, { type = "", message, hint = "", request_id: requestId = "" }, retryAfter = null) {
    super(message);
    Object.assign(this, { status, type, hint, requestId, retryAfter });
  }

  /** The message is about the filter, and belongs beside its field. */
  get isAboutFilter() {
    return this.status >= 400 && this.status < 500 && /^the filter\b/i.test(this.message);
  }

  /** The same request may succeed later, or with another key. */
  get isPassing() {
    return [0, 401, 408, 429, 500, 502, 503, 504].includes(this.status);
  }
}

export const search = async (body, signal) => (await call("v1/search", { body, signal })).json();
export const index = async () => (await call("v1/index")).json();
export const passage = async (id, signal) => (await call(`v1/passages/${encodeURIComponent(id)}`, { signal })).json();

/** Events of an answer. Raises ApiError for a failure before the stream, and for an error event in it. */
export async function* answer(body, signal) {
  const response = await call("v1/answer", { body: { ...body, stream: true }, signal });
  let complete = false;
  try {
    for await (const { event, data } of readEvents(response)) {
      if (event === "error") throw new ApiError(500, data.error ?? { message: "The answer failed." });
      complete ||= event === "answer";
      yield { event, data };
    }
  } catch (error) {
    throw passed(error);
  }
  if (!complete) throw new ApiError(0, { message: "The stream ended before the answer was complete." });
}

async function call(path, { body = null, signal = null } = {}) {
  for (;;) {
    const key = currentKey();
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    if (body) headers["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
    } catch (error) {
      throw passed(error);
    }
    if (response.ok) return response;
    if (response.status !== 401 || !(await askForKey())) throw await failure(response);
    signal?.throwIfAborted();
  }
}

/** Stopping is no failure, and what else breaks a connection gets words of its own. */
function passed(error) {
  if (error.name === "AbortError" || error instanceof ApiError) return error;
  if (error instanceof TypeError) {
    return new ApiError(0, { type: "network", message: "The service cannot be reached.", hint: "Is it still running?" });
  }
  return error;
}

async function failure(response) {
  const value = await response.json().catch(() => null);
  const told = value?.error ?? { message: `The service answered ${response.status} ${response.statusText}.` };
  return new ApiError(response.status, told, response.headers.get("Retry-After"));
}
