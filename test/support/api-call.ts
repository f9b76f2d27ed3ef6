/**
 * Requests to the JSON API with a bearer token or a cookie. Owns: headers, reading the answer.
 */

type Json = Record<string, unknown>;

/** By what a request is made. */
export interface Caller {
  bearer?: string;
  cookie?: string;
}

/** Make a request as a program or a browser does; `json` is what came back as such. */
export async function callApi(
  url: string,
  method: string,
  path: string,
  by: Caller,
  body?: unknown,
  more: Record<string, string> = {},
) {
  const headers: Record<string, string> = { "user-agent": "story/1", ...more };
  if (by.bearer !== undefined) headers["authorization"] = `Bearer ${by.bearer}`;
  if (by.cookie !== undefined) {
    headers["cookie"] = `creel-loopback=${by.cookie}`;
    headers["origin"] = url;
  }
  if (body !== undefined) headers["content-type"] = "application/json";
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const answer = await fetch(`${url}${path}`, init);
  const text = await answer.text();
  const json = (text.startsWith("{") ? JSON.parse(text) : {}) as Json;
  return {
    status: answer.status,
    json,
    code: (json["error"] as Json | undefined)?.["code"],
    headers: answer.headers,
  };
}
