/** What every page of a tenant can reach: its connection, rights and rooms. Owns: the React context. Refuses to know: layout. */
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useMemo, useSyncExternalStore } from "react";
import { ChatRooms } from "../chat/chat-rooms.ts";
import { ACCOUNT_KEY, type Account, type Tenant } from "../http/account.ts";
import { SessionShelf } from "../sessions/session-shelf.ts";
import { type LinkState, TenantConnection } from "./connection.ts";

/** The tenant of this tab and what belongs to it. */
export interface TenantWorld {
  slug: string;
  tenant: Tenant;
  account: Account;
  connection: TenantConnection;
  shelf: SessionShelf;
  rooms: ChatRooms;
}

const TenantContext = createContext<TenantWorld | undefined>(undefined);

/** The tenant world of this tab; throws outside a tenant page. */
export function useTenant(): TenantWorld {
  const world = useContext(TenantContext);
  if (!world) throw new Error("no tenant on this page");
  return world;
}

/** The link's state, re-rendering on change. */
export function useLink(): LinkState {
  const { connection } = useTenant();
  return useSyncExternalStore(connection.subscribe, connection.getState);
}

/** Whether the server granted a scope; admin includes all, write includes read. */
export function useScope(scope: "operator.admin" | "operator.write" | "operator.read"): boolean {
  const { scopes } = useLink();
  if (scopes.includes("operator.admin") || scopes.includes(scope)) return true;
  return scope === "operator.read" && scopes.includes("operator.write");
}

/** Whether the reader may write; until the first hello nobody knows, and words must not be lost, so then yes. */
export function useMayWrite(): boolean {
  const { phase } = useLink();
  return useScope("operator.write") || phase !== "ready";
}

/** Opens the tenant's connection for as long as it is mounted. */
export function TenantProvider(props: { tenant: Tenant; account: Account; children: ReactNode }) {
  const { tenant, account } = props;
  const queries = useQueryClient();
  const parts = useMemo(() => {
    const connection = new TenantConnection(tenant.slug);
    return { connection, shelf: new SessionShelf(connection), rooms: new ChatRooms(connection) };
  }, [tenant.slug]);
  useEffect(() => {
    const closeShelf = parts.shelf.open();
    const closeRooms = parts.rooms.open();
    let isFirst = true;
    const closeReady = parts.connection.onReady(() => {
      // A connection that was closed and came back may have another role.
      if (!isFirst) void queries.invalidateQueries({ queryKey: ACCOUNT_KEY });
      isFirst = false;
    });
    parts.connection.start();
    return () => {
      closeReady();
      closeShelf();
      closeRooms();
      parts.connection.stop();
    };
  }, [parts, queries]);
  const world = useMemo(() => ({ slug: tenant.slug, tenant, account, ...parts }), [tenant, account, parts]);
  return <TenantContext value={world}>{props.children}</TenantContext>;
}
