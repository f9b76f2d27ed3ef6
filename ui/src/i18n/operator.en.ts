/** Words of the audit log and of the operators' surface, in English. Part of the dictionary in en.ts. */

/** English, the part of audit and operators. */
export const operatorEn = {
  audit: {
    title: "Audit log",
  },
  operator: {
    title: "Platform",
  },
};
