/** The name of the browser tab. Owns: its form. Refuses to know: pages. */
import { useEffect } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";

/** Names the tab after the page and the organization. */
export function useTitle(page: string | undefined): void {
  const { tenant } = useTenant();
  usePlainTitle(page ? `${page} · ${tenant.name}` : tenant.name);
}

/** Names the tab of a page that belongs to no organization. */
export function usePlainTitle(page: string): void {
  useEffect(() => {
    document.title = page.includes(" · ") ? page : `${page} · Creel`;
  }, [page]);
}
