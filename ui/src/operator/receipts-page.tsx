/** Proofs of deletion. Owns: their list. Refuses to know: how they are signed. */
import { useQuery } from "@tanstack/react-query";
import { FileCheck2 } from "lucide-react";
import { listReceipts } from "../http/operator.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { CopyButton } from "../parts/copy-button.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../parts/states.tsx";
import { OperatorPage } from "./operator-page.tsx";

/** The receipts. */
export function ReceiptsPage() {
  const words = useWords();
  const formats = useFormats();
  const answer = useQuery({ queryKey: ["operator", "receipts"], queryFn: listReceipts });
  return (
    <OperatorPage title={words.operator.receipts} subtitle={words.operator.receiptsHint}>
      {answer.isError ? (
        <Problem error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton lines={4} label={words.operator.receipts} />
      ) : answer.data.length === 0 ? (
        <Sheet>
          <Empty icon={<FileCheck2 size={28} aria-hidden />} title={words.operator.noReceipts} />
        </Sheet>
      ) : (
        <Sheet>
          <ul className="divide-y divide-line">
            {answer.data.map((receipt) => (
              <li key={receipt.tenantId} className="flex items-center gap-4 px-4 py-3 sm:px-6">
                <div className="grid min-w-0 flex-1">
                  <p className="truncate font-mono text-m">{receipt.slug}</p>
                  <p className="truncate text-xs text-ink-3">
                    {`${formats.dayTime(new Date(receipt.deletedAtMs))} · ${receipt.tenantId}`}
                  </p>
                </div>
                <CopyButton text={receipt.signed} label={words.operator.copyReceipt} />
              </li>
            ))}
          </ul>
        </Sheet>
      )}
    </OperatorPage>
  );
}
