/** Whether the drawer is open on a narrow page. Owns: that flag. Refuses to know: what is in the drawer. */
import { createContext, type ReactNode, useContext, useMemo, useState } from "react";

interface SidebarState {
  open: boolean;
  setOpen: (open: boolean) => void;
}

const SidebarContext = createContext<SidebarState>({ open: false, setOpen: () => undefined });

/** The drawer's state. */
export function useSidebar(): SidebarState {
  return useContext(SidebarContext);
}

/** Holds the drawer's state. */
export function SidebarProvider(props: { children: ReactNode }) {
  const [open, setOpen] = useState(false);
  const value = useMemo(() => ({ open, setOpen }), [open]);
  return <SidebarContext value={value}>{props.children}</SidebarContext>;
}
