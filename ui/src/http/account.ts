/** Who is signed in, and the tenants they belong to. Owns: the /auth calls. Refuses to know: the gateway protocol. */
import { useQuery } from "@tanstack/react-query";
import type { Language } from "../i18n/language.ts";
import { HttpFailure, requestJson } from "./request.ts";

/** A person's role inside one tenant. */
export type Role = "owner" | "admin" | "member" | "readonly";

/** One tenant the signed-in person belongs to. */
export interface Tenant {
  id: string;
  slug: string;
  name: string;
  role: Role;
  status: string;
  /** Suspended with grace: one may read. */
  isReadOnly: boolean;
  /** Names it had before; they lead here. */
  oldSlugs: string[];
  /** Made by the first start and not named yet. */
  needsName: boolean;
  /** The person is no member: an operator with a time-boxed look. */
  breakGlass: boolean;
}

/** The signed-in person. */
export interface Person {
  id: string;
  displayName: string;
  language?: Language | null;
}

/** Answer of GET /auth/session. */
export interface Account {
  user: Person;
  operator: boolean;
  /** When the person last proved who they are, wall-clock. */
  authAtMs: number;
  canCreateTenant: boolean;
  tenants: Tenant[];
}

/** Query key of the account; everything that depends on who is signed in hangs below it. */
export const ACCOUNT_KEY = ["account"] as const;

async function findAccount(): Promise<Account | null> {
  try {
    return await requestJson<Account>("GET", "/auth/session");
  } catch (error) {
    if (error instanceof HttpFailure && error.status === 401) return null;
    throw error;
  }
}

/** The account, or null when nobody is signed in. */
export function useAccount() {
  return useQuery({ queryKey: ACCOUNT_KEY, queryFn: findAccount, staleTime: 60_000, retry: 1 });
}

/** Trades a one-time link token for a session cookie; resolves to where to go next. */
export function redeemLink(token: string): Promise<{ redirect: string }> {
  return requestJson("POST", "/auth/link", { token });
}

/** Ends this browser's session; `redirect` is where its provider wants to hear of it. */
export function signOut(): Promise<{ redirect: string | null } | undefined> {
  return requestJson("POST", "/auth/logout");
}

/** Changes the signed-in person's own name or language. */
export async function patchPerson(change: { displayName?: string; language?: Language }): Promise<Person> {
  return (await requestJson<{ user: Person }>("PATCH", "/auth/user", change)).user;
}

/** A fresh short-lived token for one socket of one tenant. */
export function issueSocketToken(slug: string): Promise<{ token: string; expiresAtMs: number }> {
  return requestJson("POST", `/t/${encodeURIComponent(slug)}/auth/socket-token`);
}
