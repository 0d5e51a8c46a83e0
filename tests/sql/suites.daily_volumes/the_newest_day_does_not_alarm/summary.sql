select usage_date, records, share_of_usual from result where usage_date >= '2026-02-04'
