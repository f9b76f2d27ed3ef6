/** Turning a code into credit. Owns: that form. Refuses to know: where codes come from. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import { redeemCode } from "../http/billing.ts";
import { useMoney } from "../i18n/use-money.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { TextField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem } from "../parts/states.tsx";
import { useToast } from "../parts/toasts.tsx";
import { billingKey } from "./use-billing.ts";

/** The form. */
export function RedeemForm(props: { currency: string }) {
  const words = useWords();
  const money = useMoney(props.currency);
  const toast = useToast();
  const queries = useQueryClient();
  const { slug } = useTenant();
  const [code, setCode] = useState("");
  const redeem = useMutation({
    mutationFn: () => redeemCode(slug, code.trim()),
    onSuccess: ({ amountMicros, isNew }) => {
      const amount = money.show(amountMicros);
      toast(isNew ? words.billing.redeemed(amount) : words.billing.redeemedBefore(amount));
      setCode("");
      void queries.invalidateQueries({ queryKey: billingKey(slug) });
    },
  });
  const ready = code.trim() !== "" && !redeem.isPending;
  return (
    <Sheet className="grid gap-4 p-4 sm:p-6">
      <div className="grid gap-1">
        <h2 className="text-l font-semibold">{words.billing.redeem}</h2>
        <p className="text-s text-ink-2">{words.billing.redeemHint}</p>
      </div>
      <form
        className="grid grid-cols-[1fr_auto] items-end gap-2"
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) redeem.mutate();
        }}
      >
        <TextField
          label={words.billing.code}
          value={code}
          maxLength={100}
          spellCheck={false}
          className="font-mono"
          onChange={(event) => setCode(event.target.value)}
        />
        <Button type="submit" disabled={!ready}>
          {words.billing.redeemAct}
        </Button>
      </form>
      {redeem.isError ? <Problem compact error={redeem.error} /> : null}
    </Sheet>
  );
}
