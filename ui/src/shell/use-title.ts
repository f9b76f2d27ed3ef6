/** The name of the browser tab. Owns: its form. Refuses to know: pages. */
import { useEffect } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";

/** Names the tab after the page and the organization. */
export function useTitle(page: string | undefined): void {
  const { tenant } = useTenant();
  useEffect(() => {
    document.title = page ? `${page} · ${tenant.name}` : `${tenant.name} · Creel`;
  }, [page, tenant.name]);
}
