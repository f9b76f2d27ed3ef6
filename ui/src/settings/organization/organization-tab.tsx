/** The organization's own settings. Owns: what stands on the tab, and for whom. Refuses to know: the forms' insides. */
import { useQuery } from "@tanstack/react-query";
import { useTenant } from "../../gateway/tenant-context.tsx";
import { findTenantFacts } from "../../http/people.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Problem, Skeleton } from "../../parts/states.tsx";
import { FactsForm } from "./facts-form.tsx";
import { SignInSheet } from "./sign-in-sheet.tsx";

/** The organization tab. */
export function OrganizationTab() {
  const words = useWords();
  const { slug, tenant } = useTenant();
  const answer = useQuery({ queryKey: ["tenant", slug, "facts"], queryFn: () => findTenantFacts(slug) });
  if (answer.isError) return <Problem error={answer.error} onRetry={() => void answer.refetch()} />;
  if (!answer.data) return <Skeleton lines={6} label={words.settings.organizationTab} />;
  return (
    <div className="grid max-w-2xl grid-cols-1 gap-6">
      <FactsForm key={answer.dataUpdatedAt} facts={answer.data} />
      {tenant.role === "owner" ? <SignInSheet /> : null}
    </div>
  );
}
