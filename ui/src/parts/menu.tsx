/** Drop-down menus. Owns: their looks. Refuses to know: what is chosen. */
import { Check } from "lucide-react";
import { DropdownMenu } from "radix-ui";
import type { ReactNode } from "react";

/** A menu that opens from `trigger`. It stays in place in the document, inside the landmark or sheet it belongs to. */
export function Menu(props: {
  trigger: ReactNode;
  children: ReactNode;
  align?: "start" | "end";
  side?: "top" | "bottom";
}) {
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{props.trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Content
        align={props.align ?? "start"}
        side={props.side ?? "bottom"}
        sideOffset={6}
        collisionPadding={8}
        className="rise z-50 max-h-[60vh] min-w-52 max-w-80 overflow-y-auto rounded-medium border border-line bg-card p-1 shadow-3"
      >
        {props.children}
      </DropdownMenu.Content>
    </DropdownMenu.Root>
  );
}

interface ItemProps {
  icon?: ReactNode;
  children: ReactNode;
  detail?: ReactNode;
  onSelect: () => void;
  danger?: boolean;
  checked?: boolean;
}

/** One choice of a menu. */
export function MenuItem(props: ItemProps) {
  return (
    <DropdownMenu.Item
      onSelect={props.onSelect}
      className={`flex min-h-9 cursor-pointer items-center gap-3 rounded-small px-2.5 py-1.5 text-m outline-none select-none data-[highlighted]:bg-hover ${props.danger ? "text-danger" : "text-ink"}`}
    >
      {props.icon ? <span className="text-ink-3">{props.icon}</span> : null}
      <span className="grid min-w-0 flex-1">
        <span className="truncate">{props.children}</span>
        {props.detail ? <span className="truncate text-xs text-ink-3">{props.detail}</span> : null}
      </span>
      {props.checked ? <Check size={16} aria-hidden className="text-accent" /> : null}
    </DropdownMenu.Item>
  );
}

/** A heading inside a menu. */
export function MenuLabel(props: { children: ReactNode }) {
  return (
    <DropdownMenu.Label className="px-2.5 pt-2 pb-1 text-xs text-ink-3">{props.children}</DropdownMenu.Label>
  );
}

/** A line between groups of a menu. */
export function MenuLine() {
  return <DropdownMenu.Separator className="my-1 h-px bg-line" />;
}
