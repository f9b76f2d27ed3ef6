/**
 * People, in control.db. Owns: their record and who operates the platform.
 * Refuses to know: tenants (members does), how people sign in.
 */
import type { Clock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { newId, type UserId } from "../kernel/ids.ts";
import type { Database, Statement } from "../storage/database.ts";
import { checkDisplayName } from "../tenancy/tenant-checks.ts";

/** A person. */
export interface User {
  id: UserId;
  displayName: string;
  /** BCP 47 tag of the language they chose, or null for what their browser says. */
  language: string | null;
  createdAtMs: number;
}

interface UserRow {
  id: string;
  display_name: string;
  language: string | null;
  created_at_ms: number;
}

const LANGUAGE = /^[a-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}$/;

/** See the head of this file. */
export class Users {
  private readonly control: Database;
  private readonly clock: Clock;

  constructor(control: Database, clock: Clock) {
    this.control = control;
    this.clock = clock;
  }

  /** Make a person; throws `invalid_request` for a bad name. */
  async create(input: { displayName: string; language?: string | null }): Promise<User> {
    const user: User = {
      id: newId() as UserId,
      displayName: checkDisplayName(input.displayName),
      language: checkLanguage(input.language ?? null),
      createdAtMs: this.clock.nowMs(),
    };
    await this.control.write({ statements: [insertUser(user)] });
    return user;
  }

  async find(id: string): Promise<User | undefined> {
    const row = await this.control.find<UserRow>("SELECT * FROM users WHERE id = ?", [id]);
    return row === undefined ? undefined : toUser(row);
  }

  /** By id; throws `not_found`. */
  async get(id: string): Promise<User> {
    const user = await this.find(id);
    if (user === undefined) throw new AppError("not_found", "There is no such person.");
    return user;
  }

  /** Everybody who has exactly this name, at most ten: names are not unique. */
  async listByName(displayName: string): Promise<User[]> {
    const rows = await this.control.list<UserRow>("SELECT * FROM users WHERE display_name = ? LIMIT 10", [
      displayName,
    ]);
    return rows.map(toUser);
  }

  /** Change what is given; throws `not_found`. */
  async update(id: UserId, change: { displayName?: string; language?: string | null }): Promise<User> {
    const name = change.displayName === undefined ? null : checkDisplayName(change.displayName);
    const outcome = await this.control.write({
      statements: [
        {
          sql: `UPDATE users SET display_name = coalesce(?, display_name),
              language = CASE WHEN ? THEN ? ELSE language END WHERE id = ?`,
          params: [name, change.language === undefined ? 0 : 1, checkLanguage(change.language ?? null), id],
          expect: 1,
        },
      ],
    });
    if (!outcome.committed) throw new AppError("not_found", "There is no such person.");
    return this.get(id);
  }

  /** The first operator of the platform, if any. */
  async findOperator(): Promise<User | undefined> {
    const row = await this.control.find<UserRow>(
      "SELECT u.* FROM operators o JOIN users u ON u.id = o.user_id ORDER BY o.since_ms, o.user_id LIMIT 1",
    );
    return row === undefined ? undefined : toUser(row);
  }

  async isOperator(id: UserId): Promise<boolean> {
    return (await this.control.find("SELECT 1 FROM operators WHERE user_id = ?", [id])) !== undefined;
  }
}

/** The statement that stores a new person, for batches that do more. */
export function insertUser(user: User): Statement {
  return {
    sql: "INSERT INTO users (id, display_name, language, created_at_ms) VALUES (?, ?, ?, ?)",
    params: [user.id, user.displayName, user.language, user.createdAtMs],
    expect: 1,
  };
}

function checkLanguage(tag: string | null): string | null {
  if (tag !== null && !LANGUAGE.test(tag)) {
    throw new AppError("invalid_request", "A language is written like `en` or `zh-CN`.");
  }
  return tag;
}

function toUser(row: UserRow): User {
  return {
    id: row.id as UserId,
    displayName: row.display_name,
    language: row.language,
    createdAtMs: row.created_at_ms,
  };
}
