/** Words of the audit log and of the operators' surface, in Simplified Chinese. Part of the dictionary in zh-cn.ts. */
import type { operatorEn } from "./operator.en.ts";

/** Simplified Chinese, the part of audit and operators. */
export const operatorZhCN: typeof operatorEn = {
  audit: {
    title: "审计日志",
  },
  operator: {
    title: "平台",
  },
};
