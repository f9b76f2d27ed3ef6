/** The state of an organization as a mark. Owns: its words and tone. Refuses to know: where it is shown. */
import type { OperatedTenant } from "../http/operator.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";

/** What stands in the way of an organization, if anything. */
export function TenantState(props: { tenant: OperatedTenant }) {
  const words = useWords();
  const formats = useFormats();
  const { tenant } = props;
  const day = (ms: number) => formats.day(new Date(ms));
  return (
    <span className="inline-flex flex-wrap gap-1.5">
      {tenant.status === "active" ? <Badge tone="accent">{words.operator.active}</Badge> : null}
      {tenant.status === "suspended" ? (
        <Badge tone="willow">
          {tenant.readOnlyUntilMs === null
            ? words.operator.suspended
            : words.operator.readOnlyUntil(day(tenant.readOnlyUntilMs))}
        </Badge>
      ) : null}
      {tenant.status === "deleting" ? (
        <Badge tone="danger">
          {tenant.deleteAfterMs === null
            ? words.operator.deleting
            : words.operator.deletedOn(day(tenant.deleteAfterMs))}
        </Badge>
      ) : null}
      {tenant.health === "unavailable" ? <Badge tone="danger">{words.operator.unavailable}</Badge> : null}
      {tenant.breakGlass === null ? null : (
        <Badge tone="willow">
          {tenant.breakGlass.state === "waiting" ? words.operator.waitingLook : words.operator.lookingIn}
        </Badge>
      )}
    </span>
  );
}
