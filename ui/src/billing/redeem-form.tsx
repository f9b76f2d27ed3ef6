/** Turning a code into credit. Owns: that form. Refuses to know: where codes come from. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTenant } from "../gateway/tenant-context.tsx";
import { redeemCode } from "../http/billing.ts";
import { HttpFailure } from "../http/request.ts";
import { useFormats } from "../i18n/formats.ts";
import { useMoney } from "../i18n/use-money.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { TextField } from "../parts/field.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem } from "../parts/states.tsx";
import { useToast } from "../parts/toasts.tsx";
import { billingKey } from "./use-billing.ts";

/** What went wrong, as somebody with a code in their hand needs it. */
function useRefusal(): (error: Error) => Error {
  const { billing } = useWords();
  const formats = useFormats();
  return (error) => {
    if (!(error instanceof HttpFailure)) return error;
    if (error.code === "not_found") return new Error(billing.codeNotValid);
    const isOfCodes = error.code === "rate_limited" && error.details["of"] === "codes";
    if (!isOfCodes || error.retryAfterMs === undefined) return error;
    return new Error(billing.codesTooMany(formats.clock(new Date(Date.now() + error.retryAfterMs))));
  };
}

/** The form. */
export function RedeemForm(props: { currency: string }) {
  const words = useWords();
  const money = useMoney(props.currency);
  const toast = useToast();
  const queries = useQueryClient();
  const { slug } = useTenant();
  const refusalOf = useRefusal();
  const [code, setCode] = useState("");
  const redeem = useMutation({
    mutationFn: () =>
      redeemCode(slug, code.trim()).catch((error: Error) => {
        throw refusalOf(error);
      }),
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
          aria-invalid={redeem.isError}
          onChange={(event) => {
            setCode(event.target.value);
            // What was said is of another code.
            if (!redeem.isIdle) redeem.reset();
          }}
        />
        <Button type="submit" disabled={!ready}>
          {words.billing.redeemAct}
        </Button>
      </form>
      {redeem.isError ? <Problem compact title={words.billing.notRedeemed} error={redeem.error} /> : null}
    </Sheet>
  );
}
