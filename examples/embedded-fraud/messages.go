package main

import (
	"fmt"

	"github.com/statefun-kafka/statefun-kafka/statefun"
)

// A Payment is a record of the topic "payments", whose key is the account.
type Payment struct {
	ID, Account, Merchant, Country string
	Cents                          int64
}

// String is how a payment is shown.
func (p Payment) String() string {
	return fmt.Sprintf("%d.%02d at %s (%s)", p.Cents/100, p.Cents%100, p.Merchant, p.Country)
}

// A Decision is a record of the topic "decisions".
type Decision struct {
	Payment  Payment
	Approved bool
	Why      string
}

// A Question goes to the customer, by the program's own code.
type Question struct {
	Payment Payment
	Why     string
}

// An Answer is what the customer says to a question.
type Answer struct {
	Payment string // its ID
	Mine    bool
}

// What functions send each other.
type (
	// Inquiry asks a merchant for its risk.
	Inquiry struct{ Payment string }
	// Risk is the answer: of how many payments, in percent, customers have said that they were not theirs.
	Risk struct {
		Payment string
		Percent int64
	}
	// Silence comes when the time for an answer is over.
	Silence struct{ Payment string }
	// Fraud tells a merchant that a payment was none of the customer's.
	Fraud struct{}
)

var (
	paymentType  = statefun.JSON[Payment]("bank/Payment")
	decisionType = statefun.JSON[Decision]("bank/Decision")
	questionType = statefun.JSON[Question]("bank/Question")
	answerType   = statefun.JSON[Answer]("bank/Answer")
	inquiryType  = statefun.JSON[Inquiry]("bank/Inquiry")
	riskType     = statefun.JSON[Risk]("bank/Risk")
	silenceType  = statefun.JSON[Silence]("bank/Silence")
	fraudType    = statefun.JSON[Fraud]("bank/Fraud")
)
