// kstatus prints what kstatus, the library by which Flux and Helm 4 wait, makes of objects: a JSON list on stdin, a JSON list of
// {"status", "message"} on stdout.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var objects []unstructured.Unstructured
	if err := json.NewDecoder(os.Stdin).Decode(&objects); err != nil {
		return err
	}
	found := []map[string]string{}
	for _, object := range objects {
		result, err := status.Compute(&object)
		if err != nil {
			return err
		}
		found = append(found, map[string]string{"status": string(result.Status), "message": result.Message})
	}
	return json.NewEncoder(os.Stdout).Encode(found)
}
