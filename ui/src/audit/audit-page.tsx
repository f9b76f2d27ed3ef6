/** The audit log of the organization. Owns: the page around the log. Refuses to know: how lines look. */
import { useTenant } from "../gateway/tenant-context.tsx";
import { useWords } from "../i18n/words-context.tsx";
import { PageFrame } from "../parts/page-frame.tsx";
import { AuditView } from "./audit-view.tsx";

/** The audit page of a tenant. */
export default function AuditPage() {
  const words = useWords();
  const { slug } = useTenant();
  return (
    <PageFrame title={words.audit.title} subtitle={words.audit.subtitle}>
      <AuditView slug={slug} />
    </PageFrame>
  );
}
