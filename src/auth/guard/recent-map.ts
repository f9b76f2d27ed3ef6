/**
 * A map that forgets what was not used for longest. Owns: the bound. Refuses to know: what is kept.
 */

/** Bounded map; reading or writing a key makes it the newest. Keys carry their tenant where they belong to one. */
export class RecentMap<Value> {
  private readonly entries = new Map<string, Value>();
  private readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  get(key: string): Value | undefined {
    const value = this.entries.get(key);
    if (value === undefined) return undefined;
    this.entries.delete(key);
    this.entries.set(key, value);
    return value;
  }

  set(key: string, value: Value): void {
    this.entries.delete(key);
    this.entries.set(key, value);
    if (this.entries.size <= this.limit) return;
    const [oldest] = this.entries.keys();
    if (oldest !== undefined) this.entries.delete(oldest);
  }

  delete(key: string): void {
    this.entries.delete(key);
  }

  /** Forget all entries that `isGone` names. */
  deleteWhere(isGone: (value: Value, key: string) => boolean): void {
    for (const [key, value] of this.entries) if (isGone(value, key)) this.entries.delete(key);
  }

  clear(): void {
    this.entries.clear();
  }

  get size(): number {
    return this.entries.size;
  }
}
