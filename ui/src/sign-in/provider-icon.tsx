/** The pictures beside places to sign in at. Owns: which picture. Refuses to know: what signing in does. */
import { Building2, GitFork, KeyRound, MessagesSquare } from "lucide-react";
import type { ProviderIcon as Icon } from "../http/identity.ts";

/** A picture of a provider; decoration only, its name stands beside it. */
export function ProviderIcon(props: { icon: Icon; size?: number }) {
  const size = props.size ?? 20;
  const looks = { size, "aria-hidden": true, className: "shrink-0" } as const;
  if (props.icon === "github") return <GitFork {...looks} />;
  if (props.icon === "wechat") return <MessagesSquare {...looks} />;
  if (props.icon === "building") return <Building2 {...looks} />;
  if (props.icon === "google") {
    return (
      <span
        aria-hidden="true"
        style={{ width: size, height: size, fontSize: size * 0.85 }}
        className="inline-flex shrink-0 items-center justify-center font-semibold"
      >
        G
      </span>
    );
  }
  return <KeyRound {...looks} />;
}
