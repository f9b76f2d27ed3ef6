/**
 * The live list of a tenant's sessions. Owns: paging, live updates, optimistic changes and undo.
 * Refuses to know: how rows look and what a chat contains.
 */
import type { TenantConnection } from "../gateway/connection.ts";
import type { SessionRow, SessionsPage } from "../gateway/wire.ts";

/** A snapshot of the list; a new object on each change. */
export interface ShelfState {
  phase: "loading" | "ready" | "error";
  rows: readonly SessionRow[];
  hasMore: boolean;
  loadingMore: boolean;
  search: string;
  failure: Error | undefined;
}

const PAGE_SIZE = 200;
const UNDO_MS = 6_000;

interface Doomed {
  row: SessionRow;
  timer: ReturnType<typeof setTimeout>;
}

function byRecency(a: SessionRow, b: SessionRow): number {
  return (b.updatedAt ?? 0) - (a.updatedAt ?? 0);
}

/** Sessions of one tenant, newest first. */
export class SessionShelf {
  private readonly connection: TenantConnection;
  private state: ShelfState = {
    phase: "loading",
    rows: [],
    hasMore: false,
    loadingMore: false,
    search: "",
    failure: undefined,
  };
  private readonly listeners = new Set<() => void>();
  private readonly doomed = new Map<string, Doomed>();
  private nextOffset = 0;
  private generation = 0;
  private reloadTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(connection: TenantConnection) {
    this.connection = connection;
  }

  /** The current snapshot; stable between changes. */
  readonly getState = (): ShelfState => this.state;

  /** Calls back after each change; returns the way out. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  /** Starts following the server; returns how to stop, which also carries out pending deletions. */
  open(): () => void {
    const offReady = this.connection.onReady(() => {
      void this.connection.call("sessions.subscribe").catch(() => undefined);
      void this.reload();
    });
    const offEvent = this.connection.onEvent((event, payload) => {
      if (event === "sessions.changed") this.absorb(payload as Record<string, unknown>);
    });
    const flush = () => this.flushDeletions();
    window.addEventListener("pagehide", flush);
    return () => {
      window.removeEventListener("pagehide", flush);
      flush();
      clearTimeout(this.reloadTimer);
      offReady();
      offEvent();
    };
  }

  /** One row by its canonical key, if loaded. */
  find(key: string): SessionRow | undefined {
    return this.state.rows.find((row) => row.key === key);
  }

  /** Narrows the list on the server, a moment after the last keystroke. */
  setSearch(search: string): void {
    this.set({ search });
    clearTimeout(this.reloadTimer);
    this.reloadTimer = setTimeout(() => void this.reload(), 180);
  }

  /** Fetches the first page again. */
  async reload(): Promise<void> {
    this.generation += 1;
    const generation = this.generation;
    try {
      const page = await this.fetchPage(0);
      if (generation !== this.generation) return;
      this.takePage(page, []);
    } catch (error) {
      if (generation !== this.generation || this.state.phase === "ready") return;
      this.set({ phase: "error", failure: error instanceof Error ? error : new Error(String(error)) });
    }
  }

  /** Fetches the next page when there is one. */
  async loadMore(): Promise<void> {
    if (!this.state.hasMore || this.state.loadingMore) return;
    const generation = this.generation;
    this.set({ loadingMore: true });
    try {
      const page = await this.fetchPage(this.nextOffset);
      if (generation === this.generation) this.takePage(page, this.state.rows);
    } finally {
      this.set({ loadingMore: false });
    }
  }

  /** Changes a session at once here and then on the server; puts the old row back when refused. */
  async patch(key: string, change: Partial<SessionRow>, wish: Record<string, unknown>): Promise<void> {
    const before = this.find(key);
    if (before) this.upsert({ ...before, ...change });
    try {
      await this.connection.call("sessions.patch", { key, ...wish });
    } catch (error) {
      if (before) this.upsert(before);
      throw error;
    }
  }

  /** Hides a session now and deletes it for good after a while; returns the way to undo. */
  remove(key: string, onFailure: (error: Error) => void): () => void {
    const row = this.find(key) ?? { key };
    this.set({ rows: this.state.rows.filter((other) => other.key !== key) });
    const timer = setTimeout(() => void this.carryOut(key, onFailure), UNDO_MS);
    this.doomed.set(key, { row, timer });
    return () => {
      clearTimeout(timer);
      if (this.doomed.delete(key)) this.upsert(row);
    };
  }

  private async carryOut(key: string, onFailure: (error: Error) => void): Promise<void> {
    const doomed = this.doomed.get(key);
    try {
      await this.connection.call("sessions.delete", { key, deleteTranscript: true });
      this.doomed.delete(key);
    } catch (error) {
      this.doomed.delete(key);
      if (doomed) this.upsert(doomed.row);
      onFailure(error instanceof Error ? error : new Error(String(error)));
    }
  }

  private flushDeletions(): void {
    for (const [key, doomed] of this.doomed) {
      clearTimeout(doomed.timer);
      void this.connection.call("sessions.delete", { key, deleteTranscript: true }).catch(() => undefined);
    }
    this.doomed.clear();
  }

  private fetchPage(offset: number): Promise<SessionsPage> {
    const search = this.state.search.trim();
    return this.connection.call<SessionsPage>("sessions.list", {
      limit: PAGE_SIZE,
      includeDerivedTitles: true,
      includeLastMessage: true,
      includeGlobal: false,
      includeUnknown: false,
      ...(offset > 0 ? { offset } : {}),
      ...(search ? { search } : {}),
    });
  }

  private takePage(page: SessionsPage, before: readonly SessionRow[]): void {
    const seen = new Map(before.map((row) => [row.key, row]));
    for (const row of page.sessions) if (!this.doomed.has(row.key)) seen.set(row.key, row);
    this.nextOffset = page.nextOffset ?? before.length + page.sessions.length;
    this.set({
      phase: "ready",
      rows: [...seen.values()].sort(byRecency),
      hasMore: page.hasMore === true && page.sessions.length > 0,
      failure: undefined,
    });
  }

  private absorb(payload: Record<string, unknown>): void {
    const row = payload["session"] as SessionRow | undefined;
    const key = (payload["sessionKey"] ?? payload["key"] ?? row?.key) as string | undefined;
    if (row?.key) {
      if (!this.doomed.has(row.key)) this.upsert(row);
    } else if (key && (payload["reason"] === "delete" || payload["reason"] === "deleted")) {
      this.set({ rows: this.state.rows.filter((other) => other.key !== key) });
    } else {
      clearTimeout(this.reloadTimer);
      this.reloadTimer = setTimeout(() => void this.reload(), 250);
    }
  }

  private upsert(row: SessionRow): void {
    const before = this.find(row.key);
    // A search result must not grow rows that the search did not find.
    if (!before && this.state.search.trim()) return;
    // A reset session begins anew under its old key; nothing of the row before may shine through.
    const same = before !== undefined && (row.sessionId === undefined || before.sessionId === row.sessionId);
    const merged = same ? { ...before, ...dropUndefined(row) } : row;
    const others = this.state.rows.filter((other) => other.key !== row.key);
    this.set({ rows: [...others, merged].sort(byRecency) });
  }

  private set(change: Partial<ShelfState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of [...this.listeners]) listener();
  }
}

function dropUndefined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Partial<T>;
}
