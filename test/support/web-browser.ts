/**
 * As much of a browser as signing in needs: cookies by host, redirects one at a time or to their end, and the headers
 * that a page's own requests carry. Owns: that state. Refuses to know: pages.
 */

/** An answer, its body read. */
export interface WebAnswer {
  url: string;
  status: number;
  headers: Headers;
  text: string;
  /** Where it leads, made absolute; null when nowhere. */
  location: string | null;
}

/** See the head of this file. Cookies are kept by host without port, as browsers do. */
export class WebBrowser {
  private readonly jars = new Map<string, Map<string, string>>();
  /** Sent as `User-Agent`. */
  agent = "TestBrowser/1.0";
  /** Sent as `X-Forwarded-For`, when it is to seem elsewhere. */
  address: string | null = null;

  /** One request; redirects are not followed. */
  async send(url: string, init: RequestInit = {}): Promise<WebAnswer> {
    const headers = new Headers(init.headers);
    const cookie = this.cookieHeader(url);
    if (cookie !== "" && !headers.has("cookie")) headers.set("cookie", cookie);
    if (!headers.has("user-agent")) headers.set("user-agent", this.agent);
    if (this.address !== null) headers.set("x-forwarded-for", this.address);
    const response = await fetch(url, { ...init, headers, redirect: "manual" });
    this.keep(url, response.headers.getSetCookie());
    const location = response.headers.get("location");
    return {
      url,
      status: response.status,
      headers: response.headers,
      text: await response.text(),
      location: location === null ? null : new URL(location, url).href,
    };
  }

  /** A request that a page of `url`'s own site makes. */
  page(method: string, url: string, body?: unknown): Promise<WebAnswer> {
    const { origin } = new URL(url);
    return this.send(url, {
      method,
      headers: { origin, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }

  /** Go to an address and on as it leads, until an address that `stops` says, or one that leads nowhere. */
  async follow(url: string, stops: (url: string) => boolean = () => false): Promise<WebAnswer> {
    let answer = await this.send(url);
    for (let hops = 0; hops < 12 && answer.location !== null; hops++) {
      if (stops(answer.location)) return answer;
      answer = await this.send(answer.location);
    }
    return answer;
  }

  /** The value of a cookie at an address, or undefined. */
  cookie(url: string, name: string): string | undefined {
    return this.jars.get(new URL(url).hostname)?.get(name);
  }

  setCookie(url: string, name: string, value: string | null): void {
    const jar = this.jar(url);
    if (value === null) jar.delete(name);
    else jar.set(name, value);
  }

  /** Lose the cookies of an address whose names fit. */
  forget(url: string, names: RegExp): void {
    for (const name of [...this.jar(url).keys()]) if (names.test(name)) this.setCookie(url, name, null);
  }

  private cookieHeader(url: string): string {
    return [...this.jar(url)].map(([name, value]) => `${name}=${value}`).join("; ");
  }

  private keep(url: string, lines: readonly string[]): void {
    for (const line of lines) {
      const [pair = "", ...attributes] = line.split(";").map((part) => part.trim());
      const at = pair.indexOf("=");
      const isOver = attributes.some((one) => /^(?:max-age=(?:0|-\d+)|expires=thu, 01 jan 1970)/i.test(one));
      this.setCookie(url, pair.slice(0, at), isOver ? null : pair.slice(at + 1));
    }
  }

  private jar(url: string): Map<string, string> {
    const { hostname } = new URL(url);
    const jar = this.jars.get(hostname) ?? new Map<string, string>();
    this.jars.set(hostname, jar);
    return jar;
  }
}
