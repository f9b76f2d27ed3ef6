/** What stands in the way of opening an organization, for lists of them. Owns: its words and mark. Refuses to know: the lists. */
import type { Tenant } from "../http/account.ts";
import type { Words } from "../i18n/en.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Badge } from "../parts/badge.tsx";

function obstacleOf(tenant: Tenant): "lookingIn" | "readOnly" | "suspended" | undefined {
  if (tenant.breakGlass) return "lookingIn";
  if (tenant.isReadOnly) return "readOnly";
  return tenant.status === "suspended" ? "suspended" : undefined;
}

/** Role and obstacle in one line. */
export function standingWords(tenant: Tenant, words: Words): string {
  const obstacle = obstacleOf(tenant);
  const role = words.role[tenant.role];
  return obstacle === undefined ? role : `${role} · ${words.signIn[obstacle]}`;
}

/** The obstacle as a mark; nothing when there is none. */
export function TenantStanding(props: { tenant: Tenant }) {
  const words = useWords();
  const obstacle = obstacleOf(props.tenant);
  if (obstacle === undefined) return null;
  return <Badge tone={obstacle === "suspended" ? "danger" : "willow"}>{words.signIn[obstacle]}</Badge>;
}
