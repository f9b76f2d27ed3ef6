/** What a page was answered, over its socket and by HTTP. Owns: remembering it. Refuses to know: what it means. */
import type { Page } from "playwright-core";

interface Frame {
  type: string;
  id?: string;
  method?: string;
  params?: Record<string, unknown>;
  ok?: boolean;
  payload?: unknown;
}

const WAIT_MS = 10_000;

/** Listens from when it is made; make it before the page opens anything. */
export class PageListener {
  private readonly asked = new Map<string, { method: string; params: Record<string, unknown> }>();
  private readonly answers: { method: string; params: Record<string, unknown>; payload: unknown }[] = [];
  /** Newest last; a body that could not be read, as when the page was left meanwhile, is none. */
  private readonly bodies = new Map<string, unknown>();
  private readonly page: Page;

  constructor(page: Page) {
    this.page = page;
    page.on("websocket", (socket) => {
      socket.on("framesent", ({ payload }) => this.sent(JSON.parse(String(payload)) as Frame));
      socket.on("framereceived", ({ payload }) => this.received(JSON.parse(String(payload)) as Frame));
    });
    page.on("response", (response) => {
      const { pathname } = new URL(response.url());
      if (!pathname.includes("/api/")) return;
      void response.json().then(
        (body) => this.bodies.set(pathname, body),
        () => undefined,
      );
    });
  }

  /** Params of all requests of a method, in order. */
  paramsOf(method: string): Record<string, unknown>[] {
    return [...this.asked.values()].filter((one) => one.method === method).map(({ params }) => params);
  }

  /** The newest answer to a method whose params fit; waits for one. */
  async result(
    method: string,
    fits: (params: Record<string, unknown>) => boolean = () => true,
  ): Promise<unknown> {
    const find = () => this.answers.findLast((answer) => answer.method === method && fits(answer.params));
    return (await this.wait(method, find)).payload;
  }

  /** How many answers to a method there were. */
  answeredTimes(method: string): number {
    return this.answers.filter((answer) => answer.method === method).length;
  }

  /** Resolves when there were so many. */
  async answered(method: string, times: number): Promise<void> {
    await this.wait(`${method}, ${times} times`, () => this.answeredTimes(method) >= times || undefined);
  }

  /** The newest JSON answer of an HTTP path that ends so; waits for one. */
  async body(path: string): Promise<unknown> {
    const find = () => [...this.bodies].findLast(([pathname]) => pathname.endsWith(path))?.[1];
    return this.wait(path, find);
  }

  private async wait<T>(what: string, find: () => T | undefined): Promise<T> {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`the page was not answered: ${what}`);
      await this.page.waitForTimeout(20);
    }
  }

  private sent(frame: Frame): void {
    if (frame.type === "req" && frame.id !== undefined && frame.method !== undefined)
      this.asked.set(frame.id, { method: frame.method, params: frame.params ?? {} });
  }

  private received(frame: Frame): void {
    const request = frame.type === "res" ? this.asked.get(frame.id ?? "") : undefined;
    if (request !== undefined && frame.ok === true) this.answers.push({ ...request, payload: frame.payload });
  }
}
